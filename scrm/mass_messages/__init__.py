"""Mass messages (企业群发): prepared by us, confirmed by members, each customer at most once."""
