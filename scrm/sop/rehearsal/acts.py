"""What happens to the customer of a test besides events that the runtime itself makes: data, tags, segments, dates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, select

from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch
from scrm.db import upsert
from scrm.group_chats import store as group_chats
from scrm.profiles import store as profiles
from scrm.profiles.models import corp_tag, follow_user_tag, person_field
from scrm.referrals import campaigns
from scrm.referrals.rules import Draft
from scrm.segments import store as segments
from scrm.segments.leaves_segments import STOP_LIST
from scrm.sop.rehearsal.tests import Given, WrongTest
from scrm.sop.schema import Branch, Part, Playbook, Split, Wait, steps_of
from scrm.sop.text.checks import coupons_named, named_in_conditions
from scrm.sop.triggers import ALIASES

# The business key of events that name none, and the group that is joined when none is named.
KEY = "R0001"
CHAT_ID = "wrRehearsal"
# A coupon of the shop's that is only named.
FACE_FEN, VALID = 10_00, timedelta(days=7)


def tag_id(name: str) -> str:
    """The id that the silent WeCom of tests gives a tag."""
    return f"id-{name}"


def furnish(conn: Connection, playbooks: Sequence[Playbook], now: datetime) -> None:
    """The tags, segments and coupons that playbooks name, and a campaign of 老带新, are there, as the shop's are: without them nobody would enter.

    A segment has somebody in it, else being outside of it would mean nothing.
    """
    tags = {tag for playbook in playbooks for tag in named_in_conditions(playbook, "tag")}
    for name in sorted(tags):
        row = {"tag_id": tag_id(name), "tag_name": name, "group_name": "标签"}
        conn.execute(upsert(corp_tag, conn).values(**row).on_conflict_do_nothing())
    for key in sorted({key for playbook in playbooks for key in coupons_named(playbook)} - _batches(conn)):
        coupons.ensure_batch(conn, key=key, kind="generated", title=key, face_fen=FACE_FEN, valid=VALID, now=now)
    if not campaigns.list_all(conn, limit=1):
        campaigns.add(
            conn, Draft("老带新", datetime(2000, 1, 1, tzinfo=UTC), None, "", shows_names=True), by="", now=now
        )
    keys = {key for playbook in playbooks for key in named_in_conditions(playbook, "segment")}
    somebody = [profiles.ensure_contact(conn, "wmSomebodyElse", now=now).person_id]
    for key in sorted(keys - {STOP_LIST}):
        segments.save_segment(conn, segments.Draft(key, key, None), now=now)
        segments.enter(conn, segments.get_segment(conn, key), somebody, tells=False, now=now)


def _batches(conn: Connection) -> set[str]:
    return set(conn.execute(select(coupon_batch.c.key)).scalars())


def take_for_granted(
    conn: Connection,
    given: Given,
    facts: Mapping[str, Any],
    playbook: Playbook,
    person_id: int,
    owner: str,
    now: datetime,
) -> None:
    """What must be so when such an event comes: who entered a segment is in it, whose day has come has that date."""
    if given.event in ("segment.entered", "segment.left") and (key := str(facts.get("segment") or "")):
        row = _segment_row(conn, key, now)
        move = segments.enter if given.event == "segment.entered" else segments.leave
        move(conn, row, [person_id], tells=False, now=now)
    if given.event == "group.joined":
        group_chats.ensure_group(conn, str(facts["chat_id"]), created_at=now)
        group_chats.set_group(conn, str(facts["chat_id"]), {"owner": owner})
    name = playbook.trigger.date.removeprefix("field.")
    is_field = name != playbook.trigger.date or name == "birthday"
    if given.event == "date.reached" and is_field and facts.get("date") and not _has_field(conn, person_id, name):
        profiles.set_field(conn, person_id, name, str(facts["date"]), source="manual", now=now)


def redeem(conn: Connection, batch_key: str, person_id: int, now: datetime) -> bool:
    """The customer uses his newest coupon of that batch (without one named, his newest); False when he has none."""
    for issue in coupons.list_coupons(conn, person_id):
        if issue.state == "issued" and batch_key in ("", issue.batch_key):
            coupons.redeem(conn, issue.code, now=now, by="test")
            return True
    return False


def _has_field(conn: Connection, person_id: int, key: str) -> bool:
    p = person_field.c
    asked = select(p.person_id).where(p.person_id == person_id, p.key == key)
    return conn.execute(asked).first() is not None


def change(conn: Connection, given: Given, person_id: int, pair: tuple[str, str], now: datetime) -> None:
    """{set: {stage: 潜客, field.skin: 干性}}, {tag: 新客}, {untag: 新客}, {segment: vip}, {leave_segment: vip}."""
    value = given.facts[given.event]
    if given.event == "set":
        _set(conn, value, person_id, now)
    elif given.event in ("tag", "untag"):
        for name in [value] if isinstance(value, str) else value:
            _tag(conn, str(name), pair, is_on=given.event == "tag", now=now)
    else:
        _segment(conn, str(value), person_id, is_in=given.event == "segment", now=now)


def _set(conn: Connection, values: Any, person_id: int, now: datetime) -> None:
    if not isinstance(values, Mapping) or not values:
        raise WrongTest("set 要写成 {stage: 潜客} 或 {field.肤质: 干性}")
    for key, value in values.items():
        if key == "stage":
            profiles.set_stage(conn, person_id, str(value))
        else:
            # Dates are kept as authors write them; YAML has read them already.
            plain = value.isoformat() if hasattr(value, "isoformat") else value
            profiles.set_field(conn, person_id, str(key).removeprefix("field."), plain, source="manual", now=now)


def _tag(conn: Connection, name: str, pair: tuple[str, str], *, is_on: bool, now: datetime) -> None:
    userid, external_userid = pair
    t = follow_user_tag.c
    conn.execute(
        delete(follow_user_tag).where(
            t.userid == userid, t.external_userid == external_userid, t.tag_id == tag_id(name)
        )
    )
    if is_on:
        values = {"group_name": "标签", "tag_name": name, "type": 1, "source": "manual", "put_at": now}
        row = {"userid": userid, "external_userid": external_userid, "tag_id": tag_id(name), **values}
        conn.execute(upsert(follow_user_tag, conn).values(**row).on_conflict_do_nothing())


def _segment(conn: Connection, key: str, person_id: int, *, is_in: bool, now: datetime) -> None:
    """A segment of a test is a list, whatever condition the shop's own has."""
    _segment_row(conn, key, now)
    (segments.put_members if is_in else segments.take_members)(conn, key, [person_id], now=now)


def _segment_row(conn: Connection, key: str, now: datetime) -> Row[Any]:
    if not any(row.key == key for row in segments.list_segments(conn)):
        segments.save_segment(conn, segments.Draft(key, key, None), now=now)
    return segments.get_segment(conn, key)


def with_arms(playbook: Playbook, arms: Any) -> Playbook:
    """The playbook whose splits and variants are decided: {split or step: name}; raises WrongTest."""
    if arms is None:
        return playbook
    if not isinstance(arms, Mapping):
        raise WrongTest("arms 要写成 {分流编号: 名称}，例如 {half: A}")
    names = {str(key): str(name) for key, name in arms.items()}
    parts = _decided(playbook.parts or playbook.steps, names)
    if names:
        raise WrongTest(f"arms 里的 {'、'.join(names)} 不是这个剧本的分流或有 variants 的步骤，或没有这个名称")
    return replace(playbook, parts=parts, steps=tuple(steps_of(parts)))


def _decided(parts: Sequence[Part], names: dict[str, str]) -> tuple[Part, ...]:
    """All chance goes to the arms of these names; a name that was used is taken out."""
    return tuple(_decide(part, names) for part in parts)


def _decide(part: Part, names: dict[str, str]) -> Part:
    if isinstance(part, Split | Branch):
        arms = tuple(replace(arm, parts=_decided(arm.parts, names)) for arm in part.arms)
        wanted = names.get(part.id)
        if isinstance(part, Split) and wanted in {arm.name for arm in arms}:
            del names[part.id]
            arms = tuple(replace(arm, share=float(arm.name == wanted)) for arm in arms)
        return replace(part, arms=arms)
    if isinstance(part, Wait):
        return replace(part, came=_decided(part.came, names), timed_out=_decided(part.timed_out, names))
    wanted, content = names.get(part.id), part.content
    if content is None or wanted not in {each.name for each in content.variants}:
        return part
    del names[part.id]
    variants = tuple(replace(each, share=float(each.name == wanted)) for each in content.variants)
    return replace(part, content=replace(content, variants=variants))


def as_started(given: Given, playbook: Playbook) -> Given:
    """Under the name that the event has here; when only the event is named, it is one that the trigger's `where` wants."""
    event = ALIASES.get(given.event, given.event)
    facts, key = given.facts, given.key
    if event == playbook.trigger.event and not key and not facts:
        facts = {name: values[0] for name, values in playbook.trigger.where.items()}
    if event.startswith("group."):
        key = key or str(facts.get("chat_id") or CHAT_ID)
        facts = {"chat_id": key, **facts}
    if not key and _is_told_by_the_shop(event, playbook):
        if playbook.run_key in ("product", "sku_family"):
            facts = {"product_id": KEY, **facts} if "sku" not in facts else facts
        else:
            key = KEY
    return replace(given, event=event, facts=facts, key=key)


def _is_told_by_the_shop(event: str, playbook: Playbook) -> bool:
    """With a business key that the author had no need to invent: the number of its case, its goods ..."""
    has_its_own = event.startswith(("contact.", "order.", "refund.", "segment.", "group.", "manual.", "schedule."))
    return event == playbook.trigger.event and not has_its_own and not playbook.run_key.startswith("person")


def facts_of(given: Given, playbook: Playbook, zone: ZoneInfo) -> dict[str, Any]:
    """An event's facts, with what the runtime's own clocks and buttons would have said of this playbook."""
    trigger, local = playbook.trigger, given.at.astimezone(zone)
    facts: dict[str, Any] = {}
    if given.event == "manual.started":
        facts = {"playbook": playbook.key, "batch": local.date().isoformat()}
    elif given.event == trigger.event == "date.reached":
        day = local.date() + timedelta(days=trigger.lead)
        facts = {"field": trigger.date, "lead": trigger.lead, "lunar": trigger.lunar, "yearly": trigger.yearly}
        facts |= {"date": day.isoformat(), "year": day.year}
    elif given.event == trigger.event == "schedule.due":
        facts = {"cron": trigger.cron, "segment": trigger.segment, "batch": local.date().isoformat()}
    elif given.event in ("segment.entered", "segment.left") and given.key:
        facts = {"segment": given.key}
    return facts | given.facts
