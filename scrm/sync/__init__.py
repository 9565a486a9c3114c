"""Keeps our state in step with WeCom's: the first sync, the nightly reconciliation, and the gaps they find."""
