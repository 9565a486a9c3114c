"""Who opens the console here."""

from tests.console.conftest import manager, sign_in

__all__ = ["manager", "sign_in"]
