"""WeCom's server API and nothing else: how to call it, what it answers, what it tells us."""
