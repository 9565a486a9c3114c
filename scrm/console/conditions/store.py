"""What the builder of conditions offers to pick from: members, tags, segments ...; each as (value, title)."""

from collections.abc import Callable, Sequence

from sqlalchemy import Column, ColumnElement, Connection, Select, func, literal, or_, select, true, union_all

from scrm.commerce.models import coupon_batch
from scrm.contact_ways.models import contact_way
from scrm.membership.models import member_level
from scrm.profiles.models import corp_tag, department, member
from scrm.segments.leaves_segments import STOP_LIST
from scrm.segments.models import segment

MOST = 50

Option = tuple[str, str]


def _members() -> Select[str, str]:
    name = func.coalesce(func.nullif(member.c.name, ""), member.c.userid)
    return select(member.c.userid.label("value"), name.label("title")).where(member.c.is_active)


def _tags() -> Select[str, str]:
    """By name, as authors write them; one name in two groups is one condition."""
    named = select(corp_tag.c.tag_name.label("value"), func.min(corp_tag.c.group_name).label("title"))
    return named.where(corp_tag.c.is_deleted.is_(False)).group_by(corp_tag.c.tag_name)


def _segments() -> Select[str, str]:
    kept = select(segment.c.key.label("value"), segment.c.title.label("title")).where(segment.c.deleted_at.is_(None))
    both = union_all(kept, select(literal(STOP_LIST), literal(STOP_LIST))).subquery()
    return select(both.c.value, both.c.title)


def _titled(value: Column[str], title: Column[str], *those: ColumnElement[bool]) -> Callable[[], Select[str, str]]:
    return lambda: select(value.label("value"), title.label("title")).where(true(), *those)


_OF: dict[str, Callable[[], Select[str, str]]] = {
    "member": _members,
    "tag": _tags,
    "segment": _segments,
    "coupon": _titled(coupon_batch.c.key, coupon_batch.c.title),
    "level": _titled(member_level.c.title, member_level.c.title),
    "department": _titled(department.c.name, department.c.name),
    "channel": _titled(
        contact_way.c.state, contact_way.c.title, contact_way.c.deleted_at.is_(None), contact_way.c.inviter_id.is_(None)
    ),
}


def find_options(conn: Connection, of: str, wanted: str, values: Sequence[str]) -> list[Option]:
    """Those whose value or title has `wanted` in it, or exactly the `values`; at most MOST, nothing for another list."""
    if of not in _OF:
        return []
    known = _OF[of]().subquery()
    found = select(known.c.value, known.c.title).order_by(known.c.title, known.c.value).limit(MOST)
    if values:
        found = found.where(known.c.value.in_(list(values)[:MOST]))
    elif wanted:
        has = (func.lower(each).contains(wanted.lower(), autoescape=True) for each in (known.c.value, known.c.title))
        found = found.where(or_(*has))
    return [(row.value, row.title or "") for row in conn.execute(found)]
