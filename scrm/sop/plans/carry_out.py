"""Carries plans out: what falls due is claimed and made into mass messages and moments, which their owners confirm."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, Row

from scrm.content import programs
from scrm.content.media.store import find_by_name
from scrm.errors import Invalid, ScrmError
from scrm.mass_messages import acts as mass_acts
from scrm.mass_messages import plan as mass_messages
from scrm.moments import publish as moments
from scrm.profiles import tags
from scrm.services import Services
from scrm.sop.plans import deputies, store
from scrm.sop.plans.calendar import Falling, Target, fall_due, without_doubles
from scrm.sop.plans.parse import parse_plan
from scrm.sop.plans.schema import GROUP, Plan
from scrm.sop.schema import Content
from scrm.wecom.customer_messages import MOST_CHATS

log = structlog.get_logger()

TICK_SECONDS = 15.0
# With nothing due, how far the look is remembered moves on only so often.
LOOK_ANEW = timedelta(minutes=10)
_GONE = "群主已离职，没有人能确认，请先把群交给别人"


async def tick(services: Services) -> int:
    """Release what is due, bring results, stop what ran out; returns how much that was. Several processes may tick."""
    now, zone, done = services.clock.now(), services.settings.shop.zone, 0
    for key in await services.db.read(store.list_published_keys):
        try:
            if await services.db.read(needs_look, key, zone, now):
                done += await services.db.write(release, key, zone, now)
        except Exception as error:
            log.error("plans.failed", plan=key, error=f"{type(error).__name__}: {error}"[:300])
    if await services.db.read(store.has_released):
        done += await services.db.write(store.settle, now)
        if late := await services.db.read(deputies.list_late, now):
            done += await services.db.write(deputies.ask, late, now)
        done += await _expire(services, now)
    return done


def needs_look(conn: Connection, key: str, zone: ZoneInfo, now: datetime) -> bool:
    """Whether something fell due, or the last look was long ago; only then is anything written."""
    row = store.find_plan(conn, key)
    if row is None or row.looked_until >= now:
        return False
    return now - row.looked_until >= LOOK_ANEW or bool(_due(conn, parse_plan(row.source), row, zone, now))


def _due(conn: Connection, plan: Plan, row: Row[Any], zone: ZoneInfo, now: datetime) -> list[Falling]:
    targets = store.list_groups(conn, plan.to) if plan.kind == GROUP else [Target()]
    return fall_due(plan, targets, row.looked_until, now, zone, store.days_off(conn))


def release(conn: Connection, key: str, zone: ZoneInfo, now: datetime) -> int:
    """Claim what fell due since the last look; what is to be sent commits with it. Returns how many were claimed."""
    row = store.lock_published(conn, key)
    if row is None or row.looked_until >= now:
        return 0
    plan = replace(parse_plan(row.source), version=row.version)
    due = _due(conn, plan, row, zone, now)
    store.note_looked(conn, key, now)
    if not due:
        return 0
    due = _without_doubles(conn, plan, _without_gone_owners(conn, due))
    claims = store.claim(conn, [_claim(plan, one, now) for one in due])
    mine = [one for one in due if _key(one) in claims and not one.skipped]
    if plan.deputies:
        gone = [claims[_key(one)] for one in due if _key(one) in claims and one.skipped == _GONE]
        deputies.ask(conn, store.list_claims_of(conn, gone), now)
    for group in _together(mine):
        _send(conn, plan, group, [claims[_key(one)] for one in group], now)
    return len(claims)


def _key(one: Falling) -> tuple[str, str, str]:
    return one.item.id, one.occurrence, one.target.chat_id


def _claim(plan: Plan, one: Falling, now: datetime) -> dict[str, Any]:
    return {
        "plan_key": plan.key,
        "version": plan.version,
        "item_id": one.item.id,
        "occurrence": one.occurrence,
        "target": one.target.chat_id,
        "owner": one.target.owner,
        "state": "skipped" if one.skipped else "released",
        "reason": one.skipped[:200],
        "due_at": one.due_at,
        "expires_at": one.due_at + one.item.ttl,
        "ended_at": now if one.skipped else None,
    }


def _without_gone_owners(conn: Connection, due: Sequence[Falling]) -> list[Falling]:
    owners = {one.target.owner for one in due if one.target.chat_id}
    gone = store.list_gone_owners(conn, owners) if owners else set()
    return [replace(one, skipped=_GONE) if not one.skipped and one.target.owner.lower() in gone else one for one in due]


def _without_doubles(conn: Connection, plan: Plan, due: Sequence[Falling]) -> list[Falling]:
    """Of items that ask for it: nobody gets the same benefit in group after group."""
    groups = _by_item([one for one in due if one.item.dedupe and not one.skipped])
    doubles: set[tuple[str, str, str]] = set()
    for group in groups:
        first = group[0]
        served = store.served_by(conn, plan.key, first.item.id, first.occurrence)
        people = store.customers_of(conn, {*(one.target.chat_id for one in group), *served})
        chosen = {one.target.chat_id: people.get(one.target.chat_id, set()) for one in group}
        same = without_doubles(chosen | {each: people.get(each, set()) for each in served}, served)
        doubles |= {_key(one) for one in group if one.target.chat_id in same}
    words = "群去重：这个群的客户在别的群里都会收到同一条"
    return [replace(one, skipped=words) if _key(one) in doubles else one for one in due]


def _by_item(due: Sequence[Falling]) -> list[list[Falling]]:
    groups: dict[tuple[str, str], list[Falling]] = {}
    for one in due:
        groups.setdefault((one.item.id, one.occurrence), []).append(one)
    return list(groups.values())


def _together(due: Sequence[Falling]) -> list[list[Falling]]:
    """What is one mass message: an item of one day for as many groups as one message takes."""
    return [group[at : at + MOST_CHATS] for group in _by_item(due) for at in range(0, len(group), MOST_CHATS)]


def _send(conn: Connection, plan: Plan, group: Sequence[Falling], claims: Sequence[int], now: datetime) -> None:
    item = group[0].item
    try:
        attachments = _attachments(conn, item.content)
        once = f"plan:{claims[0]}"
        if plan.kind == GROUP:
            chats = [(one.target.chat_id, one.target.owner) for one in group]
            number = mass_messages.create_for_groups(
                conn,
                chats,
                title=f"{plan.title} · {item.title}",
                text=item.content.text,
                attachments=attachments,
                once=once,
                now=now,
            )
            store.change_claims(conn, claims, mass_message_id=number)
        else:
            tag_ids = _tag_ids(conn, plan)
            number = moments.create_in(
                conn,
                text=item.content.text,
                attachments=attachments,
                userids=_publishers(conn, plan),
                tag_ids=tag_ids,
                once=once,
                now=now,
            )
            store.change_claims(conn, claims, moment_id=number)
    except ScrmError as error:
        store.change_claims(conn, claims, state="failed", reason=error.text[:200], ended_at=now)
        log.warning("plans.not_sent", plan=plan.key, item=item.id, reason=error.text)


def _publishers(conn: Connection, plan: Plan) -> list[str]:
    """The members who are meant; for one who has left his deputy."""
    gone = store.list_gone_owners(conn, plan.to.members) if plan.deputies else set()
    named = (plan.deputy_of(each) if each.lower() in gone else each for each in plan.to.members)
    return list(dict.fromkeys(each for each in named if each))


def _tag_ids(conn: Connection, plan: Plan) -> list[str]:
    """A tag that is gone never makes the moment one for everybody."""
    found = tags.find_tags(conn, plan.to.tags) if plan.to.tags else []
    known = {name for row in found for name in (row.tag_id, row.tag_name)}
    if lost := [each for each in plan.to.tags if each not in known]:
        raise Invalid(f"企业微信里没有标签“{lost[0]}”，没有发表")
    return sorted({row.tag_id for row in found})


def _attachments(conn: Connection, said: Content) -> list[dict[str, Any]]:
    """In the shape that mass messages and moments keep; raises Invalid for a file that the library does not have."""
    names = [name for part in said.attachments if (name := programs.file_of(part))]
    found = find_by_name(conn, names) if names else {}
    if lost := [name for name in names if name not in found]:
        raise Invalid(f"素材库里没有“{lost[0]}”，请重新上传")
    return [programs.kept(part, found) for part in said.attachments]


async def _expire(services: Services, now: datetime) -> int:
    """Nobody confirms yesterday's words: what its owners left is stopped at WeCom first."""
    rows = await services.db.read(store.list_expired, now)
    stopped: dict[tuple[str, int], str] = {}
    for row in rows:
        kind, number = ("moment", row.moment_id) if row.moment_id else ("message", row.mass_message_id)
        if number is not None and (kind, number) not in stopped:
            stopped[kind, number] = await _stop(services, kind, number)
    await services.db.write(store.settle, now)
    left = [row for row in await services.db.read(store.list_expired, now) if row.id in {each.id for each in rows}]
    over = [row.id for row in left if not stopped.get(_made(row), "")]
    await services.db.write(store.change_claims, over, state="expired", reason="群主没有在有效期内确认", ended_at=now)
    return len(rows)


def _made(row: Any) -> tuple[str, int]:
    return ("moment", row.moment_id) if row.moment_id else ("message", row.mass_message_id)


async def _stop(services: Services, kind: str, number: int) -> str:
    """Why it could not be stopped yet; empty when it is, or is over anyway."""
    try:
        if kind == "moment":
            await moments.cancel(services, number)
        else:
            await mass_acts.cancel(services, number)
    except ScrmError as error:
        if "已经结束" in error.text or error.status == 404:
            return ""
        log.warning("plans.not_stopped", kind=kind, number=number, reason=error.text)
        return error.text
    return ""
