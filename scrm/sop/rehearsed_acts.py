"""What happens to the customer of a test besides events that the runtime itself makes: data, tags, segments, dates."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete

from scrm.db import upsert
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user_tag
from scrm.segments import store as segments
from scrm.sop.rehearsed_tests import Given, WrongTest
from scrm.sop.schema import Playbook


def tag_id(name: str) -> str:
    """The id that the silent WeCom of tests gives a tag."""
    return f"id-{name}"


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
    if not any(row.key == key for row in segments.list_segments(conn)):
        segments.save_segment(conn, segments.Draft(key, key, None), now=now)
    (segments.put_members if is_in else segments.take_members)(conn, key, [person_id], now=now)


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
