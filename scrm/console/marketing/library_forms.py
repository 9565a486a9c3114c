"""The form of one script: fields as they are posted, and as they are shown again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from scrm.content.attachments import MEDIA_KINDS, media_name
from scrm.content.library.keep import Placed
from scrm.content.library.said import MOST_ATTACHMENTS, Said
from scrm.content.library.sheets import read_until

SLOTS = MOST_ATTACHMENTS
# The fields of an attachment beside its kind.
PARTS = ("name", "title", "url", "desc", "cover", "appid", "page", "radar")
BLANK = dict.fromkeys(("kind", *PARTS), "")


@dataclass(frozen=True, slots=True)
class Form:
    """`attachments` has the fields of each by name, with `kind`."""

    said: Said
    folder_id: int | None = None
    key: str = ""
    until: str = ""
    attachments: list[dict[str, str]] = field(default_factory=list)

    def placed(self, zone: ZoneInfo) -> Placed:
        """Raises Invalid for a day that is none."""
        return Placed(self.folder_id, self.key, read_until(self.until, zone))


def blank_form(folder_id: int | None) -> Form:
    return Form(Said(), folder_id)


def form_of(row: Row[Any], one: Said, zone: ZoneInfo) -> Form:
    """A script as its form shows it; the last day it is good for stands in the shop's zone."""
    last = row.expires_at - timedelta(seconds=1) if row.expires_at else None
    until = last.astimezone(zone).date().isoformat() if last else ""
    return Form(one, row.folder_id, row.key or "", until, [_fields_of(each) for each in one.attachments])


def read_form(posted: Mapping[str, Any]) -> Form:
    def text(name: str) -> str:
        return str(posted.get(name, "")).strip()

    slots = [
        {"kind": text(f"kind_{slot}"), **{part: text(f"{part}_{slot}") for part in PARTS}} for slot in range(SLOTS)
    ]
    slots = [slot for slot in slots if slot["kind"]]
    said = Said(text("title"), text("text").replace("\r\n", "\n"), tuple(map(_attachment, slots)))
    folder = text("folder")
    folder_id = int(folder) if folder.isascii() and folder.isdigit() and len(folder) < 19 else None
    return Form(said, folder_id, text("key"), text("until"), slots)


def _attachment(slot: Mapping[str, str]) -> dict[str, Any]:
    kind = slot["kind"]
    if kind in MEDIA_KINDS:
        return {kind: slot["name"]}
    if kind == "radar":
        return {"radar": slot["radar"]}
    names = ("title", "url", "desc") if kind == "link" else ("title", "appid", "page")
    card = {name: slot[name] for name in names if slot[name]}
    if cover := slot["cover"]:
        card["picurl" if cover.startswith(("http://", "https://", "{{")) else "picture"] = cover
    return {kind if kind in ("link", "miniprogram") else "unknown": card}


def _fields_of(each: Mapping[str, Any]) -> dict[str, str]:
    fields = dict(BLANK)
    ((kind, value),) = each.items()
    if media_name(each):
        return {**fields, "kind": kind, "name": str(value)}
    if kind == "radar":
        return {**fields, "kind": kind, "radar": str(value)}
    shown = {key: str(text) for key, text in value.items() if key in fields}
    return {**fields, **shown, "kind": kind, "cover": str(value.get("picture") or value.get("picurl") or "")}
