"""What a browser gets: templates, islands, styles and their built assets; it knows nothing of the CRM."""
