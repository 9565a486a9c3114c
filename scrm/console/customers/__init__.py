"""Customers: lists, bulk acts, segments, merges, hand-overs, the pool, own fields and privacy."""
