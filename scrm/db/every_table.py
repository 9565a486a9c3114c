"""Imports every feature's tables, for migrations only; nothing else may import this module."""

from scrm.db.tables import metadata

__all__ = ["metadata"]
