"""Orders and their sources, imports, coupons and membership."""
