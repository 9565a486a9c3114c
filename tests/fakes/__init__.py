"""Stand-ins at the edge: the clock, WeCom, shops. They speak the real protocol."""
