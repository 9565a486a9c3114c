"""Customers who differ in everything that a list narrows by."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert

from scrm.contact_ways.models import contact_way
from scrm.profiles.models import (
    corp_tag,
    external_contact,
    follow_user,
    follow_user_tag,
    member,
    person,
    person_stat,
)
from scrm.segments.models import segment, segment_member
from tests.world import World

MEMBERS = {"lina": "李娜", "wangwei": "王伟"}


async def open_shop(world: World, count: int = 12) -> None:
    await world.services.db.write(fill, count, world.clock.now())


def fill(conn: Connection, count: int, now: datetime) -> None:
    """Person n is called 顾客 n and was added n days ago: by 李娜 when n is odd, else by 王伟.

    Every third bought for n times 100 yuan n days ago; every fourth wears 老客; those above six came by 直播; every
    fifth is 复购; the first two are in a list; the last one has deleted the member.
    """
    numbers = range(1, count + 1)
    conn.execute(insert(member), [{"userid": key, "folded": key, "name": name} for key, name in MEMBERS.items()])
    conn.execute(
        insert(person),
        [{"id": n, "name": "", "stage": "复购" if n % 5 == 0 else "", "created_at": now} for n in numbers],
    )
    contacts = [{"external_userid": wm(n), "person_id": n, "name": f"顾客 {n}", "created_at": now} for n in numbers]
    conn.execute(insert(external_contact), contacts)
    conn.execute(
        insert(follow_user),
        [
            {
                "userid": owner_of(n),
                "external_userid": wm(n),
                "person_id": n,
                "state": "live-1" if n > 6 else "",
                "followed_at": now - timedelta(days=n),
                "ended_by": "customer" if n == count else "",
            }
            for n in numbers
        ],
    )
    conn.execute(insert(corp_tag), [{"tag_id": "t-old", "tag_name": "老客", "group_name": "阶段"}])
    worn = [{"userid": owner_of(n), "external_userid": wm(n)} for n in numbers if n % 4 == 0]
    conn.execute(insert(follow_user_tag), [{**pair, "tag_id": "t-old", "tag_name": "老客"} for pair in worn])
    bought = [n for n in numbers if n % 3 == 0]
    conn.execute(
        insert(person_stat),
        [
            {
                "person_id": n,
                "orders": 1,
                "paid_orders": 1,
                "paid_fen": n * 10_000,
                "last_order_at": now - timedelta(days=n),
                "last_paid_at": now - timedelta(days=n),
            }
            for n in bought
        ],
    )
    conn.execute(insert(contact_way), [{"state": "live-1", "title": "直播间", "kind": "直播", "created_at": now}])
    kept = {"key": "vip", "title": "贵宾", "kind": "static", "created_at": now, "changed_at": now}
    conn.execute(insert(segment).values(kept))
    listed = [{"segment_key": "vip", "person_id": n, "entered_at": now} for n in (1, 2)]
    conn.execute(insert(segment_member), listed)


def wm(number: int) -> str:
    return f"wm{number:06}"


def owner_of(number: int) -> str:
    return "lina" if number % 2 else "wangwei"
