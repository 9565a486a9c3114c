"""Moments (客户朋友圈): prepared by us, published by members."""
