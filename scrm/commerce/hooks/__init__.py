"""Orders that platforms push: kept first, acknowledged, applied in the background, shown where they cannot be read."""
