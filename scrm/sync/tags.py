"""The corp's tag library: one call tells all of it (doc 92117)."""

from scrm.profiles.mark_tags import refresh_library
from scrm.profiles.tags import count_library
from scrm.services import Services
from scrm.work.progress import Progress


async def run(services: Services, progress: Progress, full: bool) -> None:
    """The source's run (scrm.sync.sources)."""
    changed = await refresh_library(services)
    total = await services.db.read(count_library)
    progress.expect(total)
    progress.advance(total, changed=changed)
