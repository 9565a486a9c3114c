"""Scripts of the library in playbooks: `content: tpl.<key>`, kept with the version that was published with them.

Whoever is under way goes on with the words of their version; a newer text comes with the next publishing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.content import programs
from scrm.content.attachments import MEDIA_KINDS
from scrm.content.library import store
from scrm.sop.schema import Content

PREFIX = "tpl."
_KINDS = {"link", programs.KIND, *MEDIA_KINDS}


def load(conn: Connection, now: datetime | None = None) -> dict[str, Content]:
    """Every script that a playbook can name, by `tpl.<key>`; without `now`, those past their day as well."""
    rows = store.list_keyed(conn, now)
    return {PREFIX + row.key: Content(row.text, tuple(row.attachments or ())) for row in rows}


def why_unfit(content: Content) -> str:
    """What a playbook cannot send; empty when it can send everything."""
    for part in content.attachments:
        if not _KINDS.intersection(part):
            return "带有雷达内容，剧本还不能发，请换一条或去掉这个附件"
        if programs.KIND in part and not programs.cover_of(part):
            return "小程序封面用的是网址，剧本里请改用素材库图片：欢迎语和群发只认素材"
        if part.get("link", {}).get("picture"):
            return "链接封面用的是素材库图片，剧本里请改用网址封面（https://…）"
    return ""


def as_json(contents: Mapping[str, Content]) -> dict[str, Any]:
    """As it is kept beside the text of a version."""
    return {key: {"text": said.text, "attachments": list(said.attachments)} for key, said in contents.items()}


def from_json(kept: Mapping[str, Any] | None) -> dict[str, Content]:
    return {key: Content(said["text"], tuple(said["attachments"])) for key, said in (kept or {}).items()}


def digest_of(source: str, contents: Mapping[str, Content]) -> str:
    """Of a text and the scripts that it names: a playbook that names none has its text's own."""
    told = source
    if contents:
        told += "\0" + json.dumps(as_json(contents), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def find_newer(conn: Connection, kept: Mapping[str, Any] | None, now: datetime | None = None) -> list[str]:
    """The scripts that read otherwise now than when they were published with a playbook."""
    if not kept:
        return []
    there = as_json(load(conn, now))
    return sorted(key for key, said in kept.items() if key in there and there[key] != said)


def find_expired(conn: Connection, contents: Mapping[str, Content], now: datetime) -> list[str]:
    """A line for each script that is past its day, or was stopped a moment ago."""
    if not contents:
        return []
    there = load(conn, now)
    return [
        f"话术“{key}”已过期或停用，请先在后台「素材与话术」延长有效期，或换一条" for key in contents if key not in there
    ]


class Unseen(Mapping[str, Content]):
    """The library where there is no database to ask: every key is there, and says its own name."""

    def __getitem__(self, key: str) -> Content:
        if not key.startswith(PREFIX):
            raise KeyError(key)
        return Content(f"（话术库 {key}）")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
