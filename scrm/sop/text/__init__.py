"""A playbook as its author writes it: read, checked, compared, and described for editors."""
