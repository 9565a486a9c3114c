"""Backups: one file with the database, the media originals and a manifest; verified by restoring it elsewhere."""
