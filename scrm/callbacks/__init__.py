"""What WeCom tells us: keep first, act once, explain always."""
