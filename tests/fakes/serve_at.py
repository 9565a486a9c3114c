"""`scrm serve` in whose world it is as late as a file says: SCRM_TEST_AHEAD names it, it holds seconds."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scrm import app
from scrm.cli import main

AHEAD = Path(os.environ.pop("SCRM_TEST_AHEAD"))


class AheadClock:
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(AHEAD.read_text()))

    async def sleep(self, seconds: float) -> None:
        until = self.now() + timedelta(seconds=seconds)
        while (left := (until - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - the file may jump
            await asyncio.sleep(min(left, 0.05))


app.SystemClock = AheadClock  # type: ignore[misc, assignment]
app.SLOW_SECONDS = 0.5
sys.exit(main(sys.argv[1:]))
