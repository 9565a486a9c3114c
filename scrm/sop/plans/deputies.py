"""Who steps in for a group's owner: WeCom lets only owners send, so the deputy is asked to say it by hand."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.profiles.members import member_names
from scrm.sop.members import notice_store
from scrm.sop.plans import store
from scrm.sop.plans.parse import parse_plan
from scrm.sop.plans.schema import Plan


def list_late(conn: Connection, now: datetime) -> list[Row[Any]]:
    """What owners with a deputy have not confirmed after half of its time, and no deputy was asked for."""
    late = []
    for key in store.list_published_keys(conn):
        row = store.find_plan(conn, key)
        plan = parse_plan(row.source) if row is not None and "deputies:" in row.source else None
        if plan is not None and plan.deputies:
            late += [one for one in store.list_unasked(conn, key) if plan.deputy_of(one.owner) and now >= _half(one)]
    return late


def ask(conn: Connection, claims: Sequence[Row[Any]], now: datetime) -> int:
    """A notice for the deputy of each, once; returns how many have one."""
    plans: dict[str, Plan] = {}
    for key in {one.plan_key for one in claims}:
        row = store.find_plan(conn, key)
        if row is not None:
            plans[key] = parse_plan(row.source)
    groups = store.names_of(conn, {one.target for one in claims})
    members = member_names(conn, {one.owner for one in claims})
    notices = []
    for one in claims:
        plan = plans.get(one.plan_key)
        item = plan.item(one.item_id) if plan is not None else None
        deputy = plan.deputy_of(one.owner) if plan is not None else ""
        if item is not None and deputy:
            owner = members.get(one.owner.casefold(), one.owner)
            title = f"请代{owner}在群“{groups.get(one.target) or '未命名的群'}”里发：{item.title}"
            notices.append(_notice(one, deputy, title, item.content.text, now))
    notice_store.add_notices(conn, notices)
    return len(notices)


def _half(claim: Row[Any]) -> datetime:
    half: datetime = claim.due_at + (claim.expires_at - claim.due_at) / 2
    return half


def _notice(claim: Row[Any], deputy: str, title: str, text: str, now: datetime) -> dict[str, Any]:
    return {
        "once": store.once_of(claim.id),
        "of_userid": claim.owner,
        "userid": deputy,
        "notify": "",
        "title": title[:120],
        "text": text,
        "is_urgent": False,
        "state": "waiting",
        "look_at": now,
        "created_at": now,
    }
