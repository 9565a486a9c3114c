"""The demonstration: one process with the CRM, a WeCom sandbox, and a small shop with staff, customers and orders."""

from scrm.demo.shop import run_demo, run_sandbox

__all__ = ["run_demo", "run_sandbox"]
