"""The server API: each module answers one family of endpoints."""
