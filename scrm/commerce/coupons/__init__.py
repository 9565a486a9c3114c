"""Coupons from the batch to the till."""
