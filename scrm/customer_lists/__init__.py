"""Many customers at a time: lists and their views, work on many of them, and the pool of those nobody looks after."""
