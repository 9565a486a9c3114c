"""Customer groups: who is in them, who came and went, and the codes by which people join."""
