"""A self-hosted social CRM for merchants who sell through WeCom."""

__version__ = "0.1.0"
