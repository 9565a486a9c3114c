"""Rehearsal at scale: a playbook meets a crowd, or last month's events, in memory; nobody is written to."""
