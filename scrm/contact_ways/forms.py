"""Pure: the form of a channel, from what a browser posts to what is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scrm.contact_ways.plan import EVERY_DAY, Period, Plan, Shift, Welcome
from scrm.errors import Invalid

# A form offers so many hours at most; nobody's week has more.
MOST_ROWS = 20
# A code has a hundred members at most.
MOST_CAPS = 100


class Posted(Protocol):
    """The fields of a form, as aiohttp gives them."""

    def get(self, key: str, default: str = "", /) -> object: ...

    def getall(self, key: str, default: Sequence[str] = (), /) -> Sequence[object]: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants a channel to be."""

    title: str
    kind: str
    userids: tuple[str, ...]
    skip_verify: bool
    plan: Plan


def read_draft(form: Posted) -> Draft:
    """Raises Invalid with the field that is no number."""
    plan = Plan(
        party=_departments(form, "party"),
        shifts=tuple(_shifts(form)),
        backup=_many(form, "backup"),
        cap=_number(form, "cap", "每日上限"),
        caps=_caps(form),
        skip_verify=_verify(form),
        tags=tuple(dict.fromkeys(read_words(_text(form, "tags")))),
        tag_days=_number(form, "tag_days", "标签有效天数"),
        remark=_text(form, "remark"),
        welcome=_text(form, "welcome"),
        welcomes=tuple(_welcomes(form)),
    )
    return Draft(
        title=_text(form, "title"),
        kind=_text(form, "kind")[:40],
        userids=_many(form, "userid"),
        skip_verify=_text(form, "skip_verify") != "",
        plan=plan,
    )


def _shifts(form: Posted) -> list[Shift]:
    """A row without anybody is one that nobody filled in."""
    shifts = []
    for number in range(MOST_ROWS):
        userids, party = _many(form, f"shift{number}_userid"), _departments(form, f"shift{number}_party")
        if userids or party:
            shifts.append(Shift(**_hours(form, f"shift{number}"), userids=userids, party=party))
    return shifts


def _welcomes(form: Posted) -> list[Welcome]:
    return [
        Welcome(**_hours(form, f"welcome{number}"), text=text)
        for number in range(MOST_ROWS)
        if (text := _text(form, f"welcome{number}_text"))
    ]


def _verify(form: Posted) -> tuple[Period, ...]:
    """A row without times is one that nobody filled in."""
    return tuple(
        Period(**_hours(form, f"verify{number}"))
        for number in range(MOST_ROWS)
        if _text(form, f"verify{number}_start") or _text(form, f"verify{number}_end")
    )


def _caps(form: Posted) -> dict[str, int]:
    """By member; a row without a member or a number is one that nobody filled in."""
    caps: dict[str, int] = {}
    for number in range(MOST_CAPS):
        userid = _text(form, f"cap{number}_userid")[:64]
        if userid and _text(form, f"cap{number}_most"):
            caps[userid] = _number(form, f"cap{number}_most", "单独的每日上限")
    return caps


def _departments(form: Posted, name: str) -> tuple[int, ...]:
    return tuple(int(value) for value in _many(form, name) if value.isascii() and value.isdigit() and len(value) < 10)


def _hours(form: Posted, name: str) -> dict[str, Any]:
    days = tuple(int(day) for day in _many(form, f"{name}_day") if day.isascii() and day.isdigit())
    end = _text(form, f"{name}_end") or "24:00"
    return {"start": _text(form, f"{name}_start") or "00:00", "end": end, "days": days or EVERY_DAY}


def read_words(text: str) -> list[str]:
    """What was written with commas, semicolons or lines between, Chinese ones too."""
    for mark in "，、;；\n":
        text = text.replace(mark, ",")
    return [word.strip() for word in text.split(",") if word.strip()]


def _text(form: Posted, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _many(form: Posted, name: str) -> tuple[str, ...]:
    values = form.getall(name, ())
    return tuple(dict.fromkeys(value.strip()[:64] for value in values if isinstance(value, str) and value.strip()))


def _number(form: Posted, name: str, label: str) -> int:
    text = _text(form, name)
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Invalid(f"{label}“{text[:20]}”不是数字，请填 0 或更大的整数")
    return int(text)
