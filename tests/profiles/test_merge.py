"""Persons join by sure keys, by hand and back, and nothing that knows them is forgotten."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from scrm import events, joining
from scrm.commerce import running_totals, store
from scrm.commerce.canonical import read_order
from scrm.commerce.models import orders
from scrm.db import Database
from scrm.db.every_table import metadata
from scrm.db.vault import Vault
from scrm.errors import Conflict
from scrm.profiles import identities, merge, suggestions
from scrm.profiles.merge import Act
from scrm.profiles.merge_tables import merge_suggestion, person_merge, person_redirect
from scrm.profiles.models import external_contact, identity, person, person_stat
from scrm.profiles.redirects import follow
from scrm.reports.models import report_add
from tests.commerce.conftest import NOW, add_person
from tests.world import ANING, XIAOMAN, World

VAULT = Vault("a secret that is long enough for tests")
BY_HAND = Act("zhangmin", "manual")


def test_every_table_that_knows_persons_is_moved_or_says_why_not() -> None:
    knowing = {table.name for table in metadata.sorted_tables if "person_id" in table.c}
    listed = [mover.table for mover in joining.MOVERS]
    assert len(listed) == len(set(listed))
    assert knowing == set(listed) | joining.NOT_MOVED.keys()


@pytest.mark.parametrize(
    ("value", "usable"),
    [("o6_bm", True), ("", False), ("NULL", False), ("138****0001", False), ("0000000", False), ("undefined", False)],
)
def test_what_many_share_or_nobody_means_joins_nobody(value: str, usable: bool) -> None:
    assert identities.is_usable(value) is usable


@pytest.mark.parametrize(
    ("kind", "confidence", "joins"),
    [
        ("wx_unionid", "told", True),
        ("mobile_e164", "told", False),
        ("mobile_e164", "verified", True),
        ("taobao_nick", "verified", False),
        ("something new", "verified", False),
    ],
)
def test_only_sure_keys_join_by_themselves(kind: str, confidence: str, joins: bool) -> None:
    assert identities.joins_by_itself(kind, confidence) is joins


def an_order(number: str, unionid: str, paid_fen: int = 100) -> Any:
    told = {"channel": "pos", "order_no": number, "status": "paid", "paid_fen": paid_fen}
    return read_order({**told, "paid_at": NOW.isoformat(), "buyer_ref": {"wx_unionid": unionid}})


def buy(conn: Connection, number: str, unionid: str) -> None:
    store.save_orders(conn, [an_order(number, unionid)], now=NOW, vault=VAULT, route="api")


def added(conn: Connection, person_id: int) -> None:
    """An add by a channel code, which the report knows by its moment."""
    conn.execute(report_add.insert().values(state="a", added_at=NOW, event_id=1, person_id=person_id, userid="lina"))


async def test_many_joins_and_orders_at_once_lose_nothing(database_url: str) -> None:
    """16 at a time over the same persons: none waits for ever, and every order ends with who everybody became."""
    db = Database(database_url, pool_size=16)
    ids = await db.write(lambda conn: [add_person(conn, f"客户{n}", wx_unionid=f"o6_{n}") for n in range(16)])

    async def join(one: int, other: int) -> None:
        try:
            await joining.patiently(db, joining.join, one, other, BY_HAND, now=NOW)
        except Conflict:  # they are one already
            return

    async def order(n: int) -> None:
        await joining.patiently(db, buy, str(n), f"o6_{n % 16}")

    joins = [join(ids[n], ids[(n + 1) % 16]) for n in range(16)]
    await asyncio.wait_for(asyncio.gather(*joins, *(order(n) for n in range(64))), 60)

    def look(conn: Connection) -> tuple[Any, ...]:
        (holder,) = conn.scalars(select(person.c.id))
        stat = conn.execute(select(person_stat)).mappings().one()
        owners = set(conn.scalars(select(identity.c.person_id))) | set(conn.scalars(select(orders.c.person_id)))
        assert {follow(conn, one) for one in ids} == owners == {holder}
        assert running_totals.count_totals(conn, holder) == {
            name: stat[name] for name in running_totals.count_totals(conn, holder)
        }
        return stat["orders"], stat["paid_fen"], conn.scalar(select(func.count()).select_from(person_merge))

    assert await db.read(look) == (64, 6400, 15)
    await db.close()


async def test_joins_are_undone_in_any_order_and_the_rest_goes_where_it_belongs(database_url: str) -> None:
    db = Database(database_url)

    def story(conn: Connection) -> None:
        one, two, three = (add_person(conn, name, wx_unionid=f"o6_{name}") for name in "甲乙丙")
        buy(conn, "1", "o6_乙")
        added(conn, two)
        first = joining.join(conn, one, two, BY_HAND, now=NOW)
        second = joining.join(conn, three, two, BY_HAND, now=NOW)  # the id of old: it is 甲 by now
        assert follow(conn, two) == three
        buy(conn, "2", "o6_乙")
        buy(conn, "3", "o6_甲")
        joining.part(conn, first, by="zhangmin", now=NOW)
        assert dict(conn.execute(select(orders.c.order_no, orders.c.person_id)).all()) == {
            "1": two,
            "2": two,
            "3": three,
        }
        joining.part(conn, second, by="zhangmin", now=NOW)
        owners = {row.order_no: row.person_id for row in conn.execute(select(orders))}
        assert owners == {"1": two, "2": two, "3": one}
        assert conn.scalars(select(report_add.c.person_id)).all() == [two]
        assert conn.execute(select(person_redirect)).all() == []
        with pytest.raises(Conflict):
            joining.part(conn, first, by="zhangmin", now=NOW)

    await db.write(story)
    await db.close()


async def test_what_was_written_for_the_old_id_meanwhile_is_swept_up_and_given_back(sqlite_url: str) -> None:
    db = Database(sqlite_url)

    def story(conn: Connection) -> None:
        one, two = add_person(conn, "甲", wx_unionid="o6_a"), add_person(conn, "乙", wx_unionid="o6_b")
        merge_id = joining.join(conn, one, two, BY_HAND, now=NOW)
        events.record(conn, [events.Event("order.paid", NOW, two, key="late")], now=NOW)
        added(conn, two)
        assert merge.sweep(conn, merge_id, joining.MOVERS, now=NOW) == 2
        late = select(events.event.c.person_id).where(events.event.c.key == "late")
        assert conn.scalar(late) == one
        joining.part(conn, merge_id, by="zhangmin", now=NOW + timedelta(days=1))
        assert (conn.scalar(late), conn.scalar(select(report_add.c.person_id))) == (two, two)
        new = person.insert().values(created_at=NOW).returning(person.c.id)
        assert conn.execute(new).scalar_one() > two

    await db.write(story)
    await db.close()


async def test_an_id_that_is_gone_is_given_to_nobody(sqlite_url: str) -> None:
    db = Database(sqlite_url)

    def story(conn: Connection) -> None:
        one, two = add_person(conn, "甲"), add_person(conn, "乙")
        joining.join(conn, one, two, BY_HAND, now=NOW)
        assert add_person(conn, "丙") == two + 1

    await db.write(story)
    await db.close()


async def test_a_phone_that_somebody_noted_only_suggests_and_a_pair_told_apart_is_left_alone(sqlite_url: str) -> None:
    db = Database(sqlite_url)

    def story(conn: Connection) -> None:
        one, two = add_person(conn, "甲"), add_person(conn, "乙")
        phone = joining.known_phone("+8613800000001", VAULT, source="remark", confidence=identities.TOLD)
        assert joining.learn(conn, one, phone, now=NOW) == one
        assert joining.learn(conn, two, phone, now=NOW) == one
        (pair,) = suggestions.list_open(conn)
        assert pair.evidence == [{"key": "mobile_e164", "shown": "138****0001", "source": "remark"}]
        suggestions.decide(conn, one, two, "apart", by="zhangmin", now=NOW)
        joining.learn(conn, two, phone, now=NOW)
        assert suggestions.list_open(conn) == []

    await db.write(story)
    await db.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_unionid_learnt_later_joins_the_contact_with_whom_it_means(world: World) -> None:
    def furnish(conn: Connection) -> int:
        known = add_person(conn, "小满", wx_unionid="oUnionXiaoman")
        buy(conn, "1", "oUnionXiaoman")
        return known

    known = await world.services.db.write(furnish)
    await world.add()
    await world.pass_time(seconds=30)
    (contact,) = await world.rows(external_contact, external_contact.c.external_userid == XIAOMAN)
    (log,) = await world.rows(person_merge)
    assert (log.by, log.reason) == ("auto", "wx_unionid")
    assert (log.kept_id, log.gone_id) == (contact.person_id, known)
    (bought,) = await world.rows(orders)
    assert bought.person_id == contact.person_id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_two_contacts_with_one_unionid_are_a_question_and_no_join(world: World) -> None:
    await world.add()
    await world.add(ANING)
    await world.pass_time(seconds=30)
    world.wecom.contacts[ANING]["external_contact"]["unionid"] = "oUnionXiaoman"
    await world.lose("edit_external_contact", ANING)
    await world.pass_time(seconds=60)
    assert await world.rows(person_merge) == []
    (pair,) = await world.rows(merge_suggestion)
    assert pair.state == "open"
    assert pair.evidence[0]["against"] == ["企业微信客户"]
