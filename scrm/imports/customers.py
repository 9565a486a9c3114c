"""Tables of customers: who they are, the shop's own fields, and tags, for contacts and for people still to come."""

import asyncio
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from scrm import joining
from scrm.clock import Clock
from scrm.commerce.connectors.reader import Line, Scratch, Sheet, clean, normalise_heading, open_sheet, value_of
from scrm.commerce.files.import_orders import REASON, Progress, errors_path
from scrm.db import Database, Priority
from scrm.db.serving import in_turns
from scrm.db.vault import Vault
from scrm.errors import Invalid, ScrmError
from scrm.imports import pre_tags
from scrm.profiles import store
from scrm.profiles.identities import Known, find_owner
from scrm.profiles.models import person
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.phones import normalise_phone

CHUNK = 200
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "external_userid": ("external_userid", "企业微信客户ID", "客户ID"),
    "unionid": ("unionid", "wx_unionid"),
    "phone": ("手机号", "手机", "phone", "mobile"),
    "name": ("姓名", "客户姓名", "昵称", "name"),
    "tags": ("标签", "tags"),
    # Whose relation it is that the fields of relations say something of.
    "userid": ("员工账号", "userid"),
}


@dataclass(slots=True)
class CustomerCounts:
    """What came of a file of customers: `customers` is the sum of the other four figures."""

    customers: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    # Tags kept for people who are no contacts yet, or asked of WeCom.
    tags: int = 0
    reasons: list[str] = field(default_factory=list)
    error_files: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, int]:
        """The figures alone."""
        names = ("customers", "created", "updated", "unchanged", "rejected", "tags")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Into:
    """Where customers go; `only_new` leaves persons alone who are known, `only_known` makes no new ones."""

    db: Database
    vault: Vault
    clock: Clock
    only_new: bool = False
    only_known: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    line: Line
    external_userid: str
    unionid: str
    phone: str
    name: str
    tags: list[str]
    fields: dict[str, str]
    userid: str
    # Fields of the relation between that member and the customer.
    relation: dict[str, str]


async def import_customers(
    into: Into, path: Path, *, report: Callable[[Progress], None] | None = None
) -> CustomerCounts:
    """Read a table; each customer whole or not at all, those refused in NAME.errors.csv. Safe to repeat.

    Raises Invalid when the file has no column that says who somebody is.
    """
    titles = await into.db.read(_titles, "person")
    of_relation = await into.db.read(_titles, "relation")
    known = (
        frozenset(titles)
        | frozenset(of_relation)
        | {normalise_heading(heading) for group in COLUMNS.values() for heading in group}
    )
    counts = CustomerCounts()
    refused: list[tuple[Line, str]] = []
    with Scratch() as scratch:
        sheet = await asyncio.to_thread(open_sheet, path, known, scratch, at_least=1)
        reader = _Reader(sheet, titles, of_relation)
        rows = reader.rows()
        while chunk := await asyncio.to_thread(lambda: list(islice(rows, CHUNK))):
            counts.customers += len(chunk)
            good = [row for row in chunk if isinstance(row, _Row)]
            refused += [row for row in chunk if not isinstance(row, _Row)]
            async for turn in in_turns(into.db.url, into.clock, good):
                try:
                    outcome = await into.db.write_as(
                        Priority.IMPORT, turn.timed(_save_all), turn.rows, into=into, now=into.clock.now()
                    )
                except _Undo as undo:
                    outcome = undo.outcome
                _add(counts, outcome, refused)
            if report is not None:
                report(Progress(sheet.bytes_read / sheet.size, counts.customers))
        counts.rejected = len(refused)
        counts.reasons = [f"第 {line.number} 行：{reason}" for line, reason in refused[:20]]
        if refused and not into.dry_run:
            counts.error_files.append(await asyncio.to_thread(_write_errors, path, sheet, refused))
    return counts


def _titles(conn: Connection, entity: str) -> dict[str, str]:
    """The keys of the shop's own fields that can be filled, by every heading they may stand under."""
    fields = [one for one in custom_fields.list_fields(conn, entity) if not one.formula]
    return {normalise_heading(text): one.key for one in fields for text in (one.key, one.title)}


_Outcome = list[tuple[Line, str, int]]


class _Undo(Exception):
    """Carries the results of a dry run out of the transaction that it undoes."""

    def __init__(self, outcome: _Outcome) -> None:
        super().__init__("a dry run")
        self.outcome = outcome


def _add(counts: CustomerCounts, outcome: _Outcome, refused: list[tuple[Line, str]]) -> None:
    for line, result, tags in outcome:
        if result in ("created", "updated", "unchanged"):
            setattr(counts, result, getattr(counts, result) + 1)
            counts.tags += tags
        else:
            refused.append((line, result))


class _Reader:
    def __init__(self, sheet: Sheet, titles: Mapping[str, str], of_relation: Mapping[str, str]) -> None:
        self._sheet = sheet
        columns = sheet.columns
        self._places = {
            name: next((columns[plain] for plain in map(normalise_heading, group) if plain in columns), None)
            for name, group in COLUMNS.items()
        }
        taken = set(self._places.values())
        free = {name: place for name, place in columns.items() if place not in taken}
        self._fields = {titles[name]: place for name, place in free.items() if name in titles}
        # What is called like a field of the customer is the customer's.
        self._relation = {
            of_relation[name]: place for name, place in free.items() if name in of_relation and name not in titles
        }
        if all(self._places[name] is None for name in ("external_userid", "unionid", "phone")):
            raise Invalid(f"{sheet.name}：至少要有一列说明是谁：企业微信客户ID、unionid 或手机号")

    def rows(self) -> Iterator[_Row | tuple[Line, str]]:
        for line in self._sheet.rows():
            try:
                if why := self._sheet.why_cut(line):
                    raise ValueError(why)
                yield self._row(line)
            except ValueError as error:
                yield line, str(error)

    def _row(self, line: Line) -> _Row:
        def cell(name: str) -> str:
            place = self._places[name]
            return "" if place is None else value_of(line.cells[place])

        given = cell("phone")
        phone = normalise_phone(given) or ""
        if given and not phone:
            raise ValueError("手机号应为 11 位大陆手机号（不能带 * 号），请核对这一行")
        external_userid, unionid = cell("external_userid"), cell("unionid")
        if not (external_userid or unionid or phone):
            raise ValueError("这一行没有客户 ID、unionid 或手机号，不知道是谁")
        if len(external_userid) > 64 or len(unionid) > 64:
            raise ValueError("客户 ID 和 unionid 最多 64 个字符")
        text = cell("tags")
        for mark in ("，", "、", ";", "；", "|"):
            text = text.replace(mark, ",")
        return _Row(
            line,
            external_userid,
            unionid,
            phone,
            cell("name"),
            list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip())),
            _filled(line, self._fields),
            cell("userid"),
            _filled(line, self._relation),
        )


def _filled(line: Line, places: Mapping[str, int]) -> dict[str, str]:
    return {key: text for key, place in places.items() if (text := clean(line.cells[place]))}


def _save_all(conn: Connection, rows: Sequence[_Row], *, into: Into, now: datetime) -> _Outcome:
    outcome: _Outcome = []
    for row in rows:
        try:
            with conn.begin_nested():
                outcome.append((row.line, _save(conn, row, into, now), len(row.tags)))
        except ScrmError as error:
            outcome.append((row.line, error.text, 0))
    if into.dry_run:
        raise _Undo(outcome)
    return outcome


def _save(conn: Connection, row: _Row, into: Into, now: datetime) -> str:
    keys = [("wx_unionid", row.unionid), ("mobile_e164", into.vault.lookup(row.phone) if row.phone else "")]
    keys = [(kind, value) for kind, value in keys if value]
    person_id = _find(conn, row, keys)
    is_new = person_id is None
    if person_id is None:
        if row.external_userid:
            raise Invalid(f"没有客户 {row.external_userid}：请先同步企业微信客户，或改用手机号")
        if into.only_known:
            raise Invalid("没有这位客户，“只更新已有客户”时不新建")
        person_id = int(
            conn.execute(
                person.insert().values(name=row.name[:120], created_at=now).returning(person.c.id)
            ).scalar_one()
        )
    elif into.only_new:
        return "unchanged"
    changed = _learn(conn, person_id, row, into.vault, now)
    if row.fields:
        by = custom_fields.Change("import", "import", now)
        changed |= bool(
            custom_fields.set_values(
                conn, "person", (person_id,), row.fields, by, vault=into.vault, person_id=person_id
            )
        )
    if row.relation:
        changed |= _set_relation(conn, person_id, row, into, now)
    if row.tags:
        pre_tags.want_or_keep(conn, person_id, keys, row.tags, now=now)
        changed = True
    return "created" if is_new else "updated" if changed else "unchanged"


def _set_relation(conn: Connection, person_id: int, row: _Row, into: Into, now: datetime) -> bool:
    """Raises Invalid when the row does not say whose relation, or there is none."""
    if not (row.external_userid and row.userid):
        raise Invalid("有好友关系的字段时，这一行还要有企业微信客户ID和员工账号")
    relation = store.find_follow_user(conn, row.userid, row.external_userid)
    if relation is None:
        raise Invalid(f"员工 {row.userid} 没有添加过客户 {row.external_userid}，请核对这一行的员工账号")
    by = custom_fields.Change("import", "import", now)
    subject = (relation.userid, relation.external_userid)
    return bool(
        custom_fields.set_values(conn, "relation", subject, row.relation, by, vault=into.vault, person_id=person_id)
    )


def _find(conn: Connection, row: _Row, keys: Sequence[tuple[str, str]]) -> int | None:
    """Who it is by every value given; raises Invalid when two of them name different people."""
    found: dict[int, str] = {}
    if row.external_userid:
        contact = store.find_contact(conn, row.external_userid)
        if contact is not None:
            found.setdefault(contact.person_id, "客户 ID")
    for kind, value in keys:
        person_id = store.find_person_by_identity(conn, kind, value)
        if person_id is not None:
            found.setdefault(person_id, "unionid" if kind == "wx_unionid" else "手机号")
    if len(found) > 1:
        raise Invalid(f"{'和'.join(found.values())}指向两位不同的客户，请先核对或合并")
    return next(iter(found), None)


def _learn(conn: Connection, person_id: int, row: _Row, vault: Vault, now: datetime) -> bool:
    """Keep what tells who they are, and give them the orders that waited for it."""
    told = [Known("wx_unionid", row.unionid, source="import")] if row.unionid else []
    if row.phone:
        told.append(joining.known_phone(row.phone, vault, source="import", confidence="told"))
    new = [known for known in told if find_owner(conn, known.kind, known.value) is None]
    for known in new:
        joining.learn(conn, person_id, known, now=now)
    return bool(new)


def _write_errors(path: Path, sheet: Sheet, refused: Sequence[tuple[Line, str]]) -> str:
    target = errors_path(path)
    keep = [place for place, title in enumerate(sheet.titles) if clean(title) != REASON]
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([sheet.titles[place] for place in keep] + [REASON])
        writer.writerows([line.cells[place] for place in keep] + [reason] for line, reason in refused)
    return str(target)
