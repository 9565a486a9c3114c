"""Where customers come from: codes, links, friends of customers, groups."""
