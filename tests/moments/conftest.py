"""The same house as the mass messages' tests: the application in front of the sandbox."""

from tests.mass_messages.conftest import clock, house, sandbox

__all__ = ["clock", "house", "sandbox"]
