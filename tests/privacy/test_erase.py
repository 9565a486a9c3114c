"""A whole story with one customer in it: nothing private lies in clear, and after an erasure nothing leads to them."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from scrm.api.store import make_key
from scrm.commerce.canonical import read_order
from scrm.commerce.models import orders
from scrm.commerce.store import save_orders
from scrm.db.every_table import metadata
from scrm.errors import NotFound
from scrm.events import Event, publish
from scrm.privacy import export
from scrm.privacy.erase import erase, erase_in, preview
from scrm.privacy.models import privacy_act
from scrm.profiles import store as profiles
from scrm.profiles.models import external_contact, person_stat
from scrm.reports import board_repurchase, buyers
from scrm.reports.models import report_buyer, report_buyer_day, report_buyer_news
from scrm.reports.recount import recount_reports
from scrm.reports.whose import Whose
from scrm.services import Services
from scrm.sop.models import enrolment, task
from tests.world import XIAOMAN, World

PHONE, RECEIVER, ADDRESS = "13877665544", "欧阳小满", "望京街道 9 号院 3 单元"
SQLITE_ONLY = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def an_order(order_no: str, **more: Any) -> dict[str, Any]:
    return {
        "channel": "own",
        "shop_key": "s1",
        "order_no": order_no,
        "status": "paid",
        "paid_fen": 12900,
        "ordered_at": "2026-02-20T10:00:00+08:00",
        "paid_at": "2026-02-20T10:00:05+08:00",
        "buyer_ref": {"mobile_e164": f"+86{PHONE}", "wx_unionid": "oUnionXiaoman"},
        "receiver": {"name": RECEIVER, "phone": PHONE, "province": "北京", "city": "北京", "address": ADDRESS},
        "lines": [{"line_key": "1", "title": "面霜", "qty": 1, "unit_price_fen": 12900}],
        "shipments": [{"tracking_no": f"SF{order_no}", "carrier_code": "SF"}],
        "buyer_note": f"送货前打 {PHONE}",
        **more,
    }


async def keep(services: Services, *told: dict[str, Any], route: str = "api") -> list[Any]:
    read = [read_order(one) for one in told]
    return await services.db.write(
        save_orders,
        read,
        now=services.clock.now(),
        vault=services.vault,
        route=route,  # type: ignore[arg-type]
    )


async def live_the_story(world: World) -> int:
    """小满 adds 丽娜, has a phone, buys twice, and runs through a playbook."""
    world.wecom.contacts[XIAOMAN]["follow_user"][0]["remark_mobiles"] = [PHONE]
    await world.add()
    await keep(world.services, an_order("A1"), an_order("A2", status="completed"))
    await world.settle()
    contact = await world.services.db.read(profiles.find_contact, XIAOMAN)
    assert contact is not None

    def talk(conn: Any) -> None:
        now = world.clock.now()
        told = Event("kf.message", now, contact.person_id, XIAOMAN, facts={"text": "我想问下面霜"}, once="kf.message:1")
        publish(conn, [told], now=now)

    await world.services.db.write(talk)
    await world.settle()
    return contact.person_id


async def everything(services: Services) -> str:
    """All rows of all tables, as text."""

    def read(conn: Any) -> str:
        found = []
        for table in metadata.sorted_tables:
            columns = [column for column in table.columns if column.name != "digest"]
            found += [table.name + str([_text(one) for one in row]) for row in conn.execute(select(*columns))]
        return "\n".join(found)

    return await services.db.read(read)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


async def test_an_erasure_leaves_sums_without_anybody_and_they_stay_away(world: World) -> None:
    person_id = await live_the_story(world)
    services = world.services
    (before,) = await world.rows(person_stat, person_stat.c.person_id == person_id)
    seen = await services.db.read(preview, person_id)
    assert seen.deleted["身份"] == 3
    assert seen.blanked["订单"] == 2

    done = await erase(services, person_id, actor="chenlan", reason="客户来电要求")
    assert not done.again
    kept = await everything(services)
    for private in (XIAOMAN, "小满", PHONE, f"+86{PHONE}", RECEIVER, ADDRESS, "oUnionXiaoman", "SFA1", "面霜'"):
        assert private not in kept.replace("'面霜'", ""), private
    (after,) = await world.rows(person_stat, person_stat.c.person_id == person_id)
    assert after == before
    assert [row.paid_fen for row in await world.rows(orders)] == [12900, 12900]
    assert {row.state for row in await world.rows(enrolment)} <= {"exited", "done", "goal", "failed"}
    assert "open" not in {row.state for row in await world.rows(task)}
    assert (await erase(services, person_id, actor="chenlan")).again
    (act,) = await world.rows(privacy_act)
    assert (act.act, act.actor, act.person_id) == ("erased", "chenlan", person_id)

    # The same orders again, one more from before, and one that is new.
    results = await keep(services, an_order("A1", status="completed"), an_order("A0"), route="api")
    assert [one.person_id for one in results] == [person_id, None]
    assert PHONE not in await everything(services)
    assert await keep(services, an_order("A2", ordered_at="2026-03-05T10:00:00+08:00"))
    rows = {row.order_no: row for row in await world.rows(orders)}
    assert {rows[number].receiver_sealed + rows[number].buyer_phone_lookup for number in rows} == {""}
    await keep(services, an_order("N1", ordered_at="2026-03-05T10:00:00+08:00", paid_at="2026-03-05T10:00:05+08:00"))
    rows = {row.order_no: row for row in await world.rows(orders)}
    assert rows["N1"].buyer_phone_lookup, "who buys again begins anew"

    # Still a contact in WeCom: whatever happens next makes a new person without history.
    await world.add(WelcomeCode="code-again")
    (contact,) = await world.rows(external_contact)
    assert contact.person_id != person_id
    fresh = await services.db.read(profiles.get_person, contact.person_id)
    assert fresh is not None
    assert (fresh.orders or 0) == 1


async def test_an_erasure_leaves_the_cohorts_as_they_were_and_in_them_a_number_that_leads_to_nobody(
    world: World,
) -> None:
    person_id = await live_the_story(world)
    services, now = world.services, world.clock.now()
    zone = services.settings.shop.zone
    assert await buyers.tick(services) == 1
    # Bought again since the tick came by: that is still news when the erasure begins.
    again = {"ordered_at": "2026-02-25T10:00:00+08:00", "paid_at": "2026-02-25T10:00:05+08:00"}
    await keep(services, an_order("A3", **again))
    months = board_repurchase.months_of(now, zone, 6)

    async def cohort() -> board_repurchase.Cohort:
        found = await services.db.read(board_repurchase.count, Whose(), now, zone, months)
        (one,) = [each for each in found if each.buyers]
        return one

    before = await cohort()
    assert (before.buyers, before.again, before.net_fen) == (1, 1, 3 * 12900)
    await erase(services, person_id, actor="chenlan")
    assert await cohort() == before
    assert [row.person_id for row in await world.rows(report_buyer_news)] == [person_id]
    await buyers.tick(services)
    assert await cohort() == before
    assert await world.rows(report_buyer_news) == []
    (kept,) = await world.rows(report_buyer)
    assert (kept.person_id, kept.net_fen, kept.gap) == (person_id, 3 * 12900, 5)
    (day,) = await world.rows(report_buyer_day)
    assert {type(value) for value in (*kept, *day)} == {int}
    assert (await recount_reports(services.db, now, zone, fix=False)).is_right
    # Nobody is found by the number, and who comes again is somebody else.
    person = await services.db.read(profiles.get_person, person_id)
    assert person is None or not person.name
    await world.add(WelcomeCode="code-again")
    (contact,) = await world.rows(external_contact)
    assert contact.person_id != person_id
    await buyers.tick(services)
    assert await cohort() == before


async def test_erasing_nobody_says_so(services: Services) -> None:
    with pytest.raises(NotFound, match="没有客户 404"):
        await erase(services, 404, actor="cli")


async def test_an_erasure_that_is_broken_off_leaves_everything_as_it_was(world: World) -> None:
    person_id = await live_the_story(world)
    before = await everything(world.services)

    def broken(conn: Any) -> None:
        erase_in(conn, person_id, [], world.services.vault, actor="cli", now=world.clock.now())
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await world.services.db.write(broken)
    assert await everything(world.services) == before


async def test_a_copy_for_the_customer_holds_what_is_kept_in_clear(world: World) -> None:
    person_id = await live_the_story(world)
    services = world.services
    found = await services.db.write(
        export.collect, person_id, services.vault, actor="chenlan", reason="客户要求", now=world.clock.now()
    )
    archive = zipfile.ZipFile(BytesIO(export.as_zip(found)))
    told = json.loads(archive.read(f"customer-{person_id}.json"))
    clear = [row["clear"] for row in told["tables"]["identity"]["rows"] if row["kind"] == "mobile_e164"]
    assert clear == [f"+86{PHONE}"]
    assert told["tables"]["orders"]["rows"][0]["receiver_clear"]["address"] == ADDRESS
    page = archive.read(f"customer-{person_id}.html").decode()
    assert ADDRESS in page
    assert "<script" not in page
    assert (await world.rows(privacy_act))[0].act == "exported"


@SQLITE_ONLY
async def test_neither_the_file_nor_the_log_shows_phone_address_or_receiver(
    world: World, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await live_the_story(world)
    headers = {"Authorization": f"Bearer {await a_key(world)}"}
    answer = await world.client.post(
        "/api/v1/orders", json=[an_order("H1"), an_order("H2", paid_fen="x")], headers=headers
    )
    assert answer.status == 200
    for path in ("/api/v1/orders?order_no=H1", f"/api/v1/customers?external_userid={XIAOMAN}"):
        shown = await (await world.client.get(path, headers=headers)).text()
        for private in (PHONE, RECEIVER, ADDRESS):
            assert private not in shown, path
    raw = read_files(database_url)
    out, err = capfd.readouterr()
    for private in (PHONE, RECEIVER, ADDRESS):
        assert private.encode() not in raw
        assert private not in out + err + await answer.text()


def read_files(database_url: str) -> bytes:
    """The database with the log beside it, as they lie on the disk."""
    path = Path(database_url.removeprefix("sqlite:///"))
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


async def a_key(world: World) -> str:
    return await world.services.db.write(make_key, "erp", "manager", now=world.clock.now())


@SQLITE_ONLY
async def test_after_an_erasure_the_file_itself_has_forgotten(world: World, database_url: str) -> None:
    person_id = await live_the_story(world)
    await erase(world.services, person_id, actor="cli")
    raw = read_files(database_url)
    assert XIAOMAN.encode() not in raw
    assert b"oUnionXiaoman" not in raw
