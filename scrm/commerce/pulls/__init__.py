"""Orders that we ask for: sources with a cursor each, pulled in windows, page by page, into the one upsert."""
