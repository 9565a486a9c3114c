"""What a segment's form says beside its condition. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote into the form; the condition is the builder's."""

    title: str = ""
    is_exclusion: bool = False
    tells_first: bool = False


def read_form(form: Mapping[str, Any]) -> Written:
    """`title`, `is_exclusion`, `tells_first`; nothing is checked yet."""
    return Written(
        title=str(form.get("title", "")).strip(),
        is_exclusion=form.get("is_exclusion") == "1",
        tells_first=form.get("tells_first") == "1",
    )
