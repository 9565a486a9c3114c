"""A coupon belongs to one person for one reason, codes to one issue, and a budget is never exceeded."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from scrm.commerce.coupons import store as coupons
from scrm.commerce.coupons.import_codes import import_codes
from scrm.commerce.models import coupon_batch, coupon_issue
from scrm.db import Database
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import event
from tests.commerce.conftest import NOW, add_person


async def batch(db: Database, **values: Any) -> None:
    values = {"key": "new72h", "kind": "generated", "title": "新人券", "face_fen": 3000, **values}
    await db.write(coupons.ensure_batch, now=NOW, **values)


async def issue(db: Database, person_id: int, reason: str = "new-customer:1", key: str = "new72h") -> coupons.Issue:
    return await db.write(coupons.issue, batch_key=key, person_id=person_id, reason_key=reason, now=NOW)


async def names(db: Database) -> list[str]:
    return await db.read(lambda conn: list(conn.execute(select(event.c.name).order_by(event.c.id)).scalars()))


async def test_the_same_reason_never_gets_a_second_coupon(db: Database) -> None:
    await batch(db, valid=timedelta(hours=72))
    person_id = await db.write(add_person)
    first, again = await issue(db, person_id), await issue(db, person_id)
    assert (first.code, first.id) == (again.code, again.id)
    assert first.expires_at == NOW + timedelta(hours=72)
    assert (await issue(db, person_id, "birthday:2026")).code != first.code
    assert await names(db) == ["coupon.issued", "coupon.issued"]


async def test_asked_for_at_once_from_everywhere_it_is_still_one(db: Database) -> None:
    await batch(db, budget=5)
    person_id = await db.write(add_person)
    issues = await asyncio.gather(*(issue(db, person_id) for _ in range(8)))
    assert len({one.id for one in issues}) == 1
    counted = await db.read(lambda conn: conn.execute(select(coupon_batch.c.issued_count)).scalar_one())
    assert counted == 1


async def test_a_budget_is_kept_under_pressure(db: Database) -> None:
    await batch(db, budget=3)
    people = [await db.write(add_person) for _ in range(8)]
    results = await asyncio.gather(*(issue(db, person_id) for person_id in people), return_exceptions=True)
    assert sum(isinstance(one, coupons.SoldOut) for one in results) == 5
    assert await db.read(lambda conn: conn.execute(select(func.count()).select_from(coupon_issue)).scalar_one()) == 3


async def test_every_code_of_a_pool_goes_to_one_customer(db: Database) -> None:
    await batch(db, kind="pool")
    await db.write(coupons.add_codes, "new72h", ["A001", "A002", "A003"])
    people = [await db.write(add_person) for _ in range(4)]
    results = await asyncio.gather(*(issue(db, person_id) for person_id in people), return_exceptions=True)
    codes = sorted(one.code for one in results if isinstance(one, coupons.Issue))
    assert codes == ["A001", "A002", "A003"]
    (sold_out,) = [one for one in results if isinstance(one, Exception)]
    assert "请导入新的券码" in str(sold_out)


async def test_codes_cannot_be_guessed_and_are_easy_to_read_aloud(db: Database) -> None:
    await batch(db)
    person_id = await db.write(add_person)
    issues = [await issue(db, person_id, f"reason:{number}") for number in range(20)]
    assert len({one.code for one in issues}) == len({one.token for one in issues}) == 20
    assert all(len(one.code) == 10 and not set(one.code) & set("0O1I") for one in issues)
    assert all(len(one.token) >= 22 for one in issues)


async def test_two_tills_at_once_redeem_once(db: Database) -> None:
    await batch(db)
    code = (await issue(db, await db.write(add_person))).code
    tries = (db.write(coupons.redeem, code, now=NOW, by=f"till {number}") for number in range(5))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, coupons.Issue) for one in results) == 1
    refusals = [one for one in results if isinstance(one, Conflict)]
    assert len(refusals) == 4
    assert all(one.details["redemption"]["by"].startswith("till") for one in refusals)  # type: ignore[index]
    assert await names(db) == ["coupon.issued", "coupon.redeemed"]


async def test_states_are_said_in_words(db: Database) -> None:
    await batch(db, valid=timedelta(hours=1))
    made = await issue(db, await db.write(add_person))
    assert (made.word_at(NOW), made.word_at(NOW + timedelta(hours=1))) == ("已发放", "已过期")
    used = await db.write(coupons.redeem, made.code, now=NOW, by="till")
    assert used.word_at(NOW) == "已核销"


async def test_the_first_look_at_the_page_is_told(db: Database) -> None:
    await batch(db)
    made = await issue(db, await db.write(add_person))
    for _ in range(2):
        await db.write(coupons.mark_opened, made.id, now=NOW)
    assert await names(db) == ["coupon.issued", "coupon.opened"]


async def test_an_unknown_batch_is_named(db: Database) -> None:
    with pytest.raises(NotFound, match="new72h"):
        await issue(db, await db.write(add_person))


async def test_codes_are_read_from_lines_and_told_once(db: Database, tmp_path: Path) -> None:
    await batch(db, kind="pool")
    (tmp_path / "codes.txt").write_text("AAAA1\nAAAA2\nAAAA1\n\nx y z w\n", encoding="utf-8-sig")
    counts = await import_codes(db, tmp_path / "codes.txt", "new72h")
    assert (counts.codes, counts.added, counts.known) == (4, 2, 1)
    assert counts.rejected == ["第 5 行：券码应为 4 到 64 个字符、没有空格，看到“x y z w”"]
    assert (await import_codes(db, tmp_path / "codes.txt", "new72h")).added == 0


async def test_codes_are_read_from_a_column(db: Database, tmp_path: Path) -> None:
    await batch(db, kind="pool")
    (tmp_path / "codes.csv").write_text("序号,券码\n1,AAAA1\n2,AAAA2\n", encoding="gb18030")
    assert (await import_codes(db, tmp_path / "codes.csv", "new72h")).added == 2


@pytest.mark.parametrize("head", ["", "券码\n", "券码,批次,备注\n"])
async def test_a_code_within_which_the_file_broke_off_is_given_back(db: Database, tmp_path: Path, head: str) -> None:
    await batch(db, kind="pool")
    more = ",a,b" if "," in head else ""
    path = tmp_path / "codes.csv"
    path.write_text(f"{head}AAAA0001{more}\nAAAA0002{more}\nAAAA0003{more}\nAAAA0")
    counts = await import_codes(db, path, "new72h")
    assert (counts.added, len(counts.rejected)) == (3, 1)
    assert "没有下载完整" in counts.rejected[0]
    path.write_text(f"{head}AAAA0001{more}\nAAAA0004{more}\nAAAA0005{more}\nAAAA0{more}\n")
    assert (await import_codes(db, path, "new72h")).rejected == []


async def test_codes_for_a_batch_that_makes_its_own_are_refused(db: Database, tmp_path: Path) -> None:
    (tmp_path / "codes.txt").write_text("AAAA1\n", encoding="utf-8")
    with pytest.raises(Invalid, match="没有券批次 new72h"):
        await import_codes(db, tmp_path / "codes.txt", "new72h")
    await batch(db)
    with pytest.raises(Invalid, match="不需要导入"):
        await import_codes(db, tmp_path / "codes.txt", "new72h")


async def test_a_code_is_in_one_pool_only(db: Database) -> None:
    def two(conn: Connection) -> tuple[int, int]:
        for key in ("one", "two"):
            coupons.ensure_batch(conn, key=key, kind="pool", title=key, now=NOW)
        return coupons.add_codes(conn, "one", ["AAAA1"]), coupons.add_codes(conn, "two", ["AAAA1", "AAAA2"])

    assert await db.write(two) == (1, 1)
