"""Durable work: lanes, claim, lease, retry, dead letters."""
