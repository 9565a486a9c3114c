"""Running totals against a recount: told, mended, in batches."""

import pytest
from sqlalchemy import update

from scrm.commerce import recount, running_totals, store
from scrm.commerce.canonical import read_order
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.profiles.models import person_stat
from tests.commerce.conftest import NOW, add_person


async def test_totals_that_went_wrong_are_told_and_mended(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount, "BATCH", 2)
    persons = [await db.write(add_person, wx_unionid=f"o{number}") for number in range(5)]
    batch = [
        read_order(
            {
                "channel": "pos",
                "order_no": f"{number}",
                "status": "paid",
                "paid_fen": 1000 * (number + 1),
                "paid_at": NOW.isoformat(),
                "buyer_ref": {"wx_unionid": f"o{number}"},
                "refunds": [{"refund_no": "R", "status": "refunded", "amount_fen": 1000}],
            }
        )
        for number in range(4)
    ]
    await db.write(store.save_orders, batch, now=NOW, vault=vault, route="api")
    outcome = await recount.recount_all(db, fix=False)
    assert (outcome.persons, outcome.differing) == (5, 0)

    totals = await db.read(running_totals.find_totals, persons[1])
    assert totals is not None
    assert (totals["paid_fen"], totals["kept_fen"], totals["kept_orders"], totals["last_kept_at"]) == (
        2000,
        1000,
        1,
        NOW,
    )
    nothing_left = await db.read(running_totals.find_totals, persons[0])
    assert nothing_left is not None
    assert (nothing_left["kept_orders"], nothing_left["last_kept_at"]) == (0, None)

    broken = update(person_stat).where(person_stat.c.person_id == persons[3]).values(paid_fen=1, last_kept_at=None)
    await db.write(lambda conn: conn.execute(broken) and None)
    outcome = await recount.recount_all(db, fix=True)
    assert [one.person_id for one in outcome.shown] == [persons[3]]
    assert outcome.shown[0].columns == (("paid_fen", 1, 4000), ("last_kept_at", None, NOW))
    assert (await recount.recount_all(db, fix=False)).differing == 0
