"""A playbook's text as a storyboard: what stands on which day, and edits that change only what they are about."""
