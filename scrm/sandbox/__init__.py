"""A local WeCom: its server API, its callbacks, a customer's phone and a member's chat window."""

from .config import SandboxConfig
from .faults import Faults
from .routes import make_routes
from .sandbox import Sandbox

__all__ = ["Faults", "Sandbox", "SandboxConfig", "make_routes"]
