"""A draft beside the versions: kept while it is written, judged, and published by whoever may."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.sop.life import draft_locks, estimates, library, published
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.estimates import Estimate, Limits
from scrm.sop.life.published import By
from scrm.sop.schema import Playbook, Window
from scrm.sop.text import beside
from scrm.sop.text.beside import Needs
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors, Problem

_KEY_LINE = re.compile(r"^playbook:\s*[\"']?([a-z0-9][a-z0-9_-]{0,63})[\"']?\s*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Terms:
    """What publishing depends on besides the text: the house's rules, and the playbooks that run beside it."""

    quiet: Window | None = None
    limits: Limits = field(default_factory=Limits)
    others: Sequence[Playbook] = ()
    # Names of [outward.*] in the settings; None when nobody knows them.
    endpoints: Collection[str] | None = None

    @property
    def needs(self) -> Needs:
        return Needs(self.others, self.endpoints)


@dataclass(frozen=True, slots=True)
class Checked:
    """A text as it was read: the playbook when it is sound, else its problems; `beside` is about what it needs."""

    playbook: Playbook | None
    problems: Sequence[Problem] = ()
    beside: Sequence[str] = ()

    @property
    def can_be_published(self) -> bool:
        return self.playbook is not None and not self.beside


@dataclass(frozen=True, slots=True)
class Outcome:
    """`state` is published, pending (a manager has to approve, for these `reasons`) or unchanged."""

    state: str
    version: int = 0
    reasons: Sequence[str] = ()


def check(conn: Connection, source: str, key: str, terms: Terms, contents: Mapping[str, Any] | None = None) -> Checked:
    """Everything that is wrong with a text, with line numbers, and with what it needs from this shop.

    With `contents` it says what the scripts of the library said then, not what they say now.
    """
    try:
        known = published.known_from(conn, quiet=terms.quiet)
        if contents is not None:
            known = replace(known, contents=library.from_json(contents))
        playbook = parse_playbook(source, file_name=key, known=known)
    except PlaybookErrors as error:
        return Checked(None, error.problems)
    if key and playbook.key != key:
        line = next((number for number, text in enumerate(source.splitlines(), 1) if "playbook:" in text), 1)
        words = f"编号是 {playbook.key}，这里编辑的是 {key}；编号不能改，要另建一个剧本请用「新建」"
        return Checked(None, [Problem(line, words)])
    return Checked(playbook, (), beside.problems(conn, playbook, terms.needs))


def key_of(source: str) -> str:
    """The key that a text gives itself, also while the rest is not sound; raises Invalid."""
    found = _KEY_LINE.search(source)
    if found is None:
        raise Invalid("没有找到编号：请在第一行写 playbook: 编号（小写字母、数字、- 和 _，64 个以内）")
    return found[1]


def save(
    conn: Connection, key: str, source: str, by: str, *, now: datetime, seen_at: datetime | None = None
) -> Row[Any] | None:
    """Keep a text as the playbook's one draft; None when it says what the current version says.

    With `seen_at`, raises Conflict when somebody else has saved it since.
    """
    if len(source) > 200_000:
        raise Invalid(f"剧本有 {len(source):,} 个字，最多 200,000 个")
    # A browser sends lines that end in two characters.
    source = source.replace("\r\n", "\n")
    before = lifecycle_store.find_draft(conn, key)
    if before is not None and seen_at is not None and before.saved_at > seen_at and before.saved_by != by:
        raise Conflict(f"{before.saved_by or '别人'}刚刚也保存了这份草稿，请先复制你的改动，再刷新页面")
    current = published.find_current(conn, key)
    is_same = current is not None and current.source == source
    if current is not None and is_same and not library.find_newer(conn, current.contents):
        lifecycle_store.drop_draft(conn, key)
        return None
    based_on = before.based_on if before is not None else (current.version if current is not None else 0)
    if before is None or before.source != source:
        values = {"source": source, "based_on": based_on, "saved_by": by, "saved_at": now}
        # What was asked for was the text as it was.
        lifecycle_store.save_draft(conn, key, {**values, "state": "draft", "asked_by": "", "asked_at": None})
    return lifecycle_store.find_draft(conn, key)


def discard(conn: Connection, key: str) -> None:
    lifecycle_store.drop_draft(conn, key)


def publish(conn: Connection, key: str, by: By, terms: Terms, *, now: datetime) -> Outcome:
    """Publish the draft, or ask for approval when it reaches or costs more than the limits.

    Raises NotFound without a draft, Invalid when it is not sound, Conflict when a version came out meanwhile.
    """
    lifecycle_store.lock_playbook(conn, key)
    draft = _get(conn, key)
    playbook = _sound(conn, draft.source, key, terms)
    _refuse_expired(conn, playbook, now)
    current = published.find_current(conn, key)
    if current is not None and draft.based_on != current.version:
        raise Conflict(
            f"你开始编辑的是第 {draft.based_on} 版，现在已是第 {current.version} 版。请比较两者，把要保留的改动合进来"
        )
    found = estimates.estimate(conn, playbook, now)
    reasons = estimates.reasons_to_approve(playbook, found, terms.limits)
    if reasons:
        _ask(conn, draft, by, found, reasons, now)
        return Outcome("pending", reasons=reasons)
    return _bring_in(conn, playbook, by, now)


def rebase(conn: Connection, key: str, *, now: datetime) -> None:
    """The author has seen the version that came out meanwhile: the draft now stands on it."""
    draft, current = _get(conn, key), published.find_current(conn, key)
    if current is not None:
        lifecycle_store.save_draft(conn, key, {**_values(draft), "based_on": current.version, "saved_at": now})


def approve(conn: Connection, key: str, by: By, terms: Terms, *, is_administrator: bool, now: datetime) -> Outcome:
    """Publish what was asked for; nobody but an administrator approves what he asked for himself (Forbidden)."""
    lifecycle_store.lock_playbook(conn, key)
    draft = _pending(conn, key)
    if draft.asked_by == by.userid and not is_administrator:
        raise Forbidden("自己提交的剧本要由另一位主管或管理员批准")
    playbook = _sound(conn, draft.source, key, terms)
    _refuse_expired(conn, playbook, now)
    asked = f"{draft.asked_by} 提交" + (f"：{draft.why}" if draft.why else "")
    why = f"{asked}；{by.userid} 批准" + (f"：{by.why}" if by.why else "")
    return _bring_in(conn, playbook, By(by.userid, by.origin, why[:300]), now)


def refuse(conn: Connection, key: str, by: By, *, now: datetime) -> None:
    """What was asked for is a draft again, with the reason in the history."""
    draft = _pending(conn, key)
    values = {**_values(draft), "state": "draft", "asked_by": "", "asked_at": None}
    lifecycle_store.save_draft(conn, key, values)
    lifecycle_store.add_change(conn, key, "refused", by=by.userid, why=by.why[:300], now=now)


def roll_back(conn: Connection, key: str, version: int, by: By, terms: Terms, *, now: datetime) -> Outcome:
    """Publish an old text as a new version; a draft stays beside it, based on what was before.

    Raises NotFound for an unknown version, Invalid when its text is not sound any more.
    """
    lifecycle_store.lock_playbook(conn, key)
    kept = lifecycle_store.find_version(conn, key, version)
    if kept is None:
        raise NotFound(f"没有第 {version} 版")
    playbook = _sound(conn, kept.source, key, terms, kept.contents)
    if not published.bring_in(conn, playbook, now=now, by=by, rolled_back_to=version):
        return Outcome("unchanged")
    return Outcome("published", _version(conn, key))


def _bring_in(conn: Connection, playbook: Playbook, by: By, now: datetime) -> Outcome:
    changed = published.bring_in(conn, playbook, now=now, by=by)
    lifecycle_store.drop_draft(conn, playbook.key)
    draft_locks.let_go(conn, playbook.key)
    return Outcome("published" if changed else "unchanged", _version(conn, playbook.key))


def _version(conn: Connection, key: str) -> int:
    row = lifecycle_store.find_playbook(conn, key)
    return row.version if row is not None else 0


def _ask(conn: Connection, draft: Row[Any], by: By, found: Estimate, reasons: list[str], now: datetime) -> None:
    values = {**_values(draft), "state": "pending", "asked_by": by.userid, "asked_at": now, "why": by.why[:300]}
    estimate = {**asdict(found), "reasons": reasons}
    lifecycle_store.save_draft(conn, draft.playbook_key, {**values, "estimate": estimate})
    lifecycle_store.add_change(
        conn, draft.playbook_key, "asked", by=by.userid, why=by.why[:300], now=now, facts={"reasons": reasons}
    )


def _sound(
    conn: Connection, source: str, key: str, terms: Terms, contents: Mapping[str, Any] | None = None
) -> Playbook:
    found = check(conn, source, key, terms, contents)
    if found.playbook is None or found.beside:
        raise Invalid("；".join([*(str(each) for each in found.problems), *found.beside])[:1000])
    return found.playbook


def _refuse_expired(conn: Connection, playbook: Playbook, now: datetime) -> None:
    if expired := library.find_expired(conn, playbook.contents, now):
        raise Invalid("；".join(expired))


def _get(conn: Connection, key: str) -> Row[Any]:
    draft = lifecycle_store.find_draft(conn, key)
    if draft is None:
        raise NotFound("没有草稿，可能已被别人发布或放弃，请刷新页面")
    return draft


def _pending(conn: Connection, key: str) -> Row[Any]:
    draft = _get(conn, key)
    if draft.state != "pending":
        raise Conflict("这份草稿没有在等待批准，可能已改动过，请刷新页面")
    return draft


def _values(draft: Row[Any]) -> dict[str, object]:
    return {name: value for name, value in draft._mapping.items() if name != "playbook_key"}
