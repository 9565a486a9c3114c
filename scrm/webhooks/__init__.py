"""Events that are pushed to other systems as they happen."""
