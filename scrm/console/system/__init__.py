"""How it runs, and who may do what."""
