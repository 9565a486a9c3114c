"""The published playbooks: brought in from files, kept as versions, held in memory by every process."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Row, Select, func, select, update

from scrm import audit
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch
from scrm.content.media import store as media
from scrm.content.media.copies import MESSAGE
from scrm.db import upsert
from scrm.sop import triggers
from scrm.sop.life import library
from scrm.sop.life import store as lifecycle_store
from scrm.sop.models import playbook as playbook_table
from scrm.sop.models import playbook_version
from scrm.sop.schema import Playbook, Window
from scrm.sop.text import beside
from scrm.sop.text.beside import ALONE, Needs
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import Known, PlaybookErrors, Problem
from scrm.sop.timing import parse_window

log = structlog.get_logger()

# The folder, in that of the playbooks, of those that wait to be taken: it is not published by itself.
TEMPLATES = "templates"
_TITLE = re.compile(r"^title:\s*(\S.*?)\s*$", re.MULTILINE)
_HOUSE_QUIET = parse_window("21:30-09:00")
_Version = tuple[str, int]


@dataclass(frozen=True, slots=True)
class By:
    """Who publishes, by which way (file, console, cli), and why."""

    userid: str = ""
    origin: str = "file"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A file that could be published."""

    file_name: str
    playbook: Playbook


class Published:
    """Every published version by its key; `current` has only those that new customers may enter."""

    def __init__(self) -> None:
        self.current: dict[str, Playbook] = {}
        self.versions: dict[_Version, Playbook] = {}
        self._sources: dict[_Version, tuple[str, dict[str, Any]]] = {}
        self._known = Known()
        self._seen: list[tuple[Any, ...]] | None = None
        self._entries_from: dict[str, datetime] = {}
        self._held: set[str] = set()
        self._index = triggers.Index()
        self._indexed: dict[str, Playbook] | None = None

    @property
    def by_event(self) -> triggers.Index:
        """The current playbooks by the event that starts them."""
        if self._indexed is not self.current:
            self._index, self._indexed = triggers.index(self.current.values()), self.current
        return self._index

    def begins(self, key: str, occurred_at: datetime) -> bool:
        """Whether what happened then may still begin a run: not what happened while the playbook stood still."""
        opened_at = self._entries_from.get(key)
        return opened_at is None or occurred_at >= opened_at

    def is_held(self, key: str) -> bool:
        """Whether those under way in it are to stand still."""
        return key in self._held

    def version(self, key: str, version: int) -> Playbook | None:
        """The version a run began with; read from its text when it is first asked for."""
        found = self.versions.get((key, version))
        if found is None and (kept := self._sources.get((key, version))) is not None:
            found = _read_version(key, version, *kept, self._known)
            if found is not None:
                self.versions[key, version] = found
        return found

    def load(self, conn: Connection) -> None:
        """Take everything from the database."""
        self._seen = _states(conn)
        rows = conn.execute(
            select(
                playbook_version.c.playbook_key,
                playbook_version.c.version,
                playbook_version.c.source,
                playbook_version.c.contents,
            )
        )
        self._sources = {(row.playbook_key, row.version): (row.source, row.contents) for row in rows}
        self._known = known_from(conn, quiet=None)
        current = {}
        for key, version, state, *_ in self._seen:
            playbook = self.version(key, version) if state == "published" else None
            if playbook is not None:
                current[key] = playbook
        self._entries_from = {key: opened_at for key, *_, opened_at, _ in self._seen if opened_at is not None}
        self._held = {key for key, _, state, *_, runs in self._seen if (state, runs) == ("paused", "held")}
        self.current = current

    def refresh(self, conn: Connection) -> bool:
        """Load again when another process has published, paused or retired something; says whether it did."""
        if _states(conn) == self._seen:
            return False
        self.load(conn)
        return True

    def publish_dir(
        self,
        conn: Connection,
        directory: Path,
        *,
        now: datetime,
        quiet: Window | None = _HOUSE_QUIET,
        needs: Needs = ALONE,
    ) -> list[str]:
        """Publish every file that changed; returns a line for each thing that keeps a file from being published.

        A file that is refused leaves its last published version as it was, and the other files alone.
        """
        if not directory.is_dir():
            return [f"playbooks.dir：找不到目录 {directory}，请建好它，或在配置里改成剧本所在的目录"]
        drafts, lines = read_dir(directory, known_from(conn, quiet=quiet))
        playbooks = [draft.playbook for draft in drafts]
        for draft in drafts:
            problems = beside.problems(conn, draft.playbook, needs._replace(others=playbooks), name=draft.file_name)
            if not problems:
                problems = bring_file(conn, _with_kept_scripts(conn, draft), now=now)
            lines += problems
        self.load(conn)
        return lines


def bring_file(conn: Connection, draft: Draft, *, now: datetime, by: By = By(), over: bool = False) -> list[str]:
    """Publish a file if it has changed since it was last published; returns the line that says why not.

    What was changed in the console since then is not taken back: neither by the old file nor, without `over`, by a
    changed one.
    """
    playbook = draft.playbook
    row = find_current(conn, playbook.key)
    is_new = row is None or row.digest != playbook.digest
    if is_new and (expired := library.find_expired(conn, playbook.contents, now)):
        return [f"{draft.file_name}：{text}" for text in expired]
    if row is None or not is_new or over or row.digest == row.file_digest or not row.file_digest:
        if bring_in(conn, playbook, now=now, by=by):
            log.info("playbook.published", playbook=playbook.key, file=draft.file_name)
        _note_file(conn, playbook)
        return []
    is_old = playbook.digest == row.file_digest
    changed = "文件没有变" if is_old else "文件也改过"
    return [
        f"{draft.file_name}：后台已把“{row.title}”改到第 {row.version} 版，{changed}，所以没有用文件覆盖。"
        f"要保留后台的版本：scrm playbook export {playbook.key} > {draft.file_name}；"
        f"要用文件：scrm playbook apply --over {draft.file_name}"
    ]


def _with_kept_scripts(conn: Connection, draft: Draft) -> Draft:
    """A start publishes no playbook anew because a script of the library changed: that is somebody's decision."""
    row = find_current(conn, draft.playbook.key)
    if row is None or row.source != draft.playbook.source:
        return draft
    kept = read_kept(conn, row.source, draft.playbook.key, row.contents)
    return draft if kept is None else replace(draft, playbook=kept)


def find_current(conn: Connection, key: str) -> Row[Any] | None:
    """Title, version, state, text, digest and file_digest of the playbook's current version."""
    query: Select[Any] = (
        select(
            playbook_table.c.key,
            playbook_table.c.title,
            playbook_table.c.version,
            playbook_table.c.state,
            playbook_table.c.runs,
            playbook_table.c.file_digest,
            playbook_version.c.source,
            playbook_version.c.digest,
            playbook_version.c.contents,
            playbook_version.c.published_at,
        )
        .join(
            playbook_version,
            (playbook_version.c.playbook_key == playbook_table.c.key)
            & (playbook_version.c.version == playbook_table.c.version),
        )
        .where(playbook_table.c.key == key)
    )
    return conn.execute(query).one_or_none()


def find_first_published_at(conn: Connection, key: str) -> datetime | None:
    query = select(func.min(playbook_version.c.published_at)).where(playbook_version.c.playbook_key == key)
    found: datetime | None = conn.execute(query).scalar_one()
    return found


def read_kept(conn: Connection, source: str, key: str, contents: Mapping[str, Any]) -> Playbook | None:
    """A kept text with the scripts kept beside it; None when it cannot be read any more, or names what is not there."""
    known = replace(known_from(conn, quiet=None), contents=library.from_json(contents))
    try:
        return parse_playbook(source, file_name=key, known=known)
    except PlaybookErrors:
        return None


def _note_file(conn: Connection, playbook: Playbook) -> None:
    where = (playbook_table.c.key == playbook.key, playbook_table.c.file_digest != playbook.digest)
    conn.execute(update(playbook_table).where(*where).values(file_digest=playbook.digest))


def bring_in(
    conn: Connection, playbook: Playbook, *, now: datetime, by: By = By(), rolled_back_to: int | None = None
) -> bool:
    """`publish`, with its files fetched to WeCom and a line in its history; False when it was current already."""
    before = find_current(conn, playbook.key)
    media.wish(conn, f"playbook:{playbook.key}", _media_of(conn, playbook))
    if not publish(conn, playbook, now=now, by=by, rolled_back_to=rolled_back_to):
        return False
    row = lifecycle_store.find_playbook(conn, playbook.key)
    assert row is not None  # noqa: S101 - published a moment ago
    old = None if before is None else {"version": before.version, "source": before.source}
    audit.changed(conn, "playbook", playbook.key, old, {"version": row.version, "source": playbook.source})
    lifecycle_store.add_change(
        conn,
        playbook.key,
        "published" if rolled_back_to is None else "rolled_back",
        by=by.userid,
        now=now,
        version=row.version,
        why=by.why,
        facts={"origin": by.origin} if rolled_back_to is None else {"to": rolled_back_to},
    )
    return True


def read_dir(directory: Path, known: Known) -> tuple[list[Draft], list[str]]:
    """All playbooks of a directory that are sound, and a line for every problem of the others."""
    drafts: list[Draft] = []
    lines: list[str] = []
    for path in list_files(directory):
        try:
            draft = Draft(path.name, read_file(path, known))
        except PlaybookErrors as error:
            lines += error.lines
            continue
        taken = next((other for other in drafts if other.playbook.key == draft.playbook.key), None)
        if taken is not None:
            lines.append(f"{path.name} 第 1 行：编号 {draft.playbook.key} 已被 {taken.file_name} 使用，请换一个")
        else:
            drafts.append(draft)
    return drafts, lines


def list_files(directory: Path) -> list[Path]:
    """The playbook files of a directory, in the order of their names."""
    return sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml"))


def list_templates(directory: Path) -> list[Path]:
    """The files that wait beside the published ones; none where the folder is missing."""
    folder = directory / TEMPLATES
    return list_files(folder) if folder.is_dir() else []


def template_titles(directory: Path) -> dict[str, str]:
    """What each template calls itself, by its key."""
    titled = ((path.stem, _TITLE.search(read_text(path))) for path in list_templates(directory))
    return {key: found[1] if found else key for key, found in titled}


def list_beside(path: Path) -> list[Path]:
    """The other files that are published with this one, and so meet the same customers.

    Templates are taken one by one: beside a template stand only those that its text names.
    """
    others = [other for other in list_files(path.parent) if other != path]
    if path.parent.name != TEMPLATES:
        return others
    text = read_text(path)
    return [other for other in others if re.search(rf"_playbook:.*\b{re.escape(other.stem)}\b", text)]


def read_file(path: Path, known: Known | None = None) -> Playbook:
    """One file, checked; raises PlaybookErrors, also when it cannot be read."""
    return parse_playbook(read_text(path), file_name=path.name, known=known)


def read_text(path: Path) -> str:
    """What a file says; raises PlaybookErrors when it cannot be read."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise PlaybookErrors(path.name, [Problem(1, "文件不是 UTF-8 编码，请另存为 UTF-8")]) from None
    except OSError as error:
        raise PlaybookErrors(path.name, [Problem(1, f"读不到文件：{error.strerror}")]) from None


def publish(
    conn: Connection, playbook: Playbook, *, now: datetime, by: By = By(), rolled_back_to: int | None = None
) -> bool:
    """Make it the current version with its coupon batches; False when it is that already.

    Those who are under way keep the version they began with; a paused or retired playbook stays what it is.
    """
    before = conn.execute(
        select(playbook_version.c.version, playbook_version.c.digest)
        .where(playbook_version.c.playbook_key == playbook.key)
        .order_by(playbook_version.c.version.desc())
        .limit(1)
    ).one_or_none()
    for spec in playbook.coupons:
        coupons.ensure_batch(conn, **asdict(spec), now=now)
    if before is not None and before.digest == playbook.digest:
        return False
    version = 1 if before is None else before.version + 1
    row = {"title": playbook.title, "version": version, "changed_at": now}
    conn.execute(
        upsert(playbook_table, conn)
        .values(key=playbook.key, state="published", **row)
        .on_conflict_do_update(index_elements=["key"], set_=row)
    )
    conn.execute(
        upsert(playbook_version, conn)
        .values(
            playbook_key=playbook.key,
            version=version,
            source=playbook.source,
            digest=playbook.digest,
            contents=library.as_json(playbook.contents),
            published_at=now,
            published_by=by.userid,
            origin=by.origin,
            why=by.why[:300],
            rolled_back_to=rolled_back_to,
        )
        # Another process that starts at the same moment publishes the same text.
        .on_conflict_do_nothing()
    )
    return True


def list_sources(conn: Connection) -> dict[str, str]:
    """The text of every playbook's current version, by key."""
    rows = conn.execute(
        select(playbook_version.c.playbook_key, playbook_version.c.source)
        .join(playbook_table, playbook_table.c.key == playbook_version.c.playbook_key)
        .where(playbook_table.c.version == playbook_version.c.version)
        .order_by(playbook_version.c.playbook_key)
    )
    return {row.playbook_key: row.source for row in rows}


def known_from(conn: Connection, *, quiet: Window | None) -> Known:
    """What exists beside the files, as the database has it."""
    coupon_keys = set(conn.execute(select(coupon_batch.c.key)).scalars())
    return Known(coupons=coupon_keys, contents=library.load(conn), quiet=quiet)


def _states(conn: Connection) -> list[tuple[Any, ...]]:
    table = playbook_table.c
    columns = (table.key, table.version, table.state, table.changed_at, table.entries_from, table.runs)
    return [tuple(row) for row in conn.execute(select(*columns).order_by(playbook_table.c.key))]


def _media_of(conn: Connection, playbook: Playbook) -> list[tuple[str, str]]:
    """What the playbook's contents need WeCom to have."""
    found = media.find_by_name(conn, beside.media_names(playbook))
    return [(row.sha256, MESSAGE) for row in found.values()]


def _read_version(key: str, version: int, source: str, contents: dict[str, Any], known: Known) -> Playbook | None:
    try:
        known = replace(known, contents=library.from_json(contents))
        playbook = parse_playbook(source, file_name=key, known=known)
    except PlaybookErrors as error:
        log.error("playbook.version_unreadable", playbook=key, version=version, reason=error.lines[0])
        return None
    return replace(playbook, version=version)
