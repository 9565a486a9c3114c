"""Polling for what happens a moment later."""

import asyncio
from collections.abc import Callable
from typing import Any


async def eventually(holds: Callable[[], Any], seconds: float = 5.0) -> Any:
    """Poll until `holds()` (or what it awaits) is true; the last value."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.01)
