"""The life of a playbook: drafts, versions, publication, pausing, and what becomes of those under way."""
