"""What playbooks achieve: counted once whatever happens, credited to the last touch, measured against a holdout."""

import random
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from scrm.commerce.models import orders
from scrm.sop.mass.results import EXPIRED_SENT
from scrm.sop.members import tasks
from scrm.sop.results import figures as results
from scrm.sop.results import tally
from scrm.sop.results.tables import conversion
from scrm.sop.results.tables import tally as tally_table
from scrm.sop.results.uplift import Group, compare, difference, wilson
from scrm.sop.shelf import playbooks_of
from tests.sop.shop import Customer, Goal, Shop, at, playbook_of, step

DAYS = {"since": date(2026, 3, 1), "until": date(2026, 3, 31)}


def test_intervals_are_those_of_newcombe_s_papers() -> None:
    score = wilson(81, 263)
    assert (round(score.low, 4), round(score.high, 4)) == (0.2553, 0.3662)
    nobody = wilson(0, 20)
    assert (nobody.low, round(nobody.high, 4)) == (0.0, 0.1611)
    hybrid = difference(Group(70, 56), Group(80, 48))
    assert (round(hybrid.value, 4), round(hybrid.low, 4), round(hybrid.high, 4)) == (0.2, 0.0524, 0.3339)
    empty_arm = difference(Group(10, 10), Group(20, 0))
    assert (round(empty_arm.low, 4), round(empty_arm.high, 4)) == (0.6791, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_uplift_is_hidden_while_the_holdout_is_small_and_says_how_many_are_missing() -> None:
    small = compare(Group(4000, 400), Group(190, 10), holdout_persons=190)
    assert (small.missing, small.rate, small.extra, small.fen) == (10, None, None, None)
    treated = Group(4000, 400, 400 * 10_000, 400 * 10_000.0**2)
    large = compare(treated, Group(300, 15, 15 * 10_000, 15 * 10_000.0**2), holdout_persons=300)
    assert large.missing == 0
    assert large.rate is not None
    assert large.rate.is_sure
    assert large.extra is not None
    assert round(large.extra.value) == 200
    assert large.fen is not None
    assert large.fen.low < round(large.fen.value) == 500 < large.fen.high


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("条件不满足：已付款订单数 等于 0（现为 3）；有标签“VIP”", "条件不满足：已付款订单数 等于 0"),
        ("晚了 26 小时，超过有效期，未再发送", "超过有效期"),
        ("客户已不是丽娜的好友，任务已撤回。", "客户已不是丽娜的好友"),
        ("推迟到 3 月 5 日 10:40", "推迟到 … …"),
        ("", "其他"),
    ],
)
def test_reasons_that_differ_only_in_their_values_are_one(reason: str, told: str) -> None:
    assert tally.reason_of(reason) == told


RELEASED = at("03-02 10:00")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"state": "waiting"}, {"targeted", "waiting", "released"}),
        ({"state": "done", "after": 20}, {"targeted", "delivered", "released", "confirmed", "in_time", "delay:20"}),
        ({"state": "skipped", "reason": "条件不满足"}, {"targeted", "left_out", "why:条件不满足"}),
        ({"state": "dropped", "reason": "不在发送时段"}, {"targeted", "missed", "why:不在发送时段"}),
        (
            {"state": "dropped", "after": 90, "reason": EXPIRED_SENT},
            {"targeted", "expired", "released", "confirmed", "why:已过期：员工在有效期后才确认"},
        ),
        (
            {"state": "failed", "after": 30, "reason": "发送失败：非好友"},
            {"targeted", "failed", "released", "confirmed", "why:发送失败：非好友"},
        ),
        (
            {"state": "skipped", "after": 5, "reason": "订单已付款，群发已撤回"},
            {"targeted", "withdrawn", "released", "why:订单已付款"},
        ),
        ({"state": "unknown", "after": 5}, {"targeted", "unknown", "released"}),
        ({"state": "done", "channel": "X"}, {"targeted", "delivered", "released", "confirmed"}),
    ],
)
def test_each_outcome_of_a_mass_message_has_its_counts(row: dict[str, Any], told: set[str]) -> None:
    after = row.pop("after", 0)
    is_over = row["state"] not in ("waiting", "intent")
    kept = {
        "channel": "M",
        "reason": "",
        "facts": {},
        "task_state": None,
        "open_at": None,
        "expires_at": None,
        "playbook_key": "a",
        "version": 1,
        "step_id": "s",
        "userid": "lina",
        "intent_at": RELEASED,
        "outcome_at": RELEASED + timedelta(minutes=after) if is_over else None,
    }
    counts = tally.count_step(cast("Any", SimpleNamespace(**kept | row)), ZoneInfo("Asia/Shanghai"))
    assert {key.what for key in counts} == told
    assert {key.day for key in counts} == {"2026-03-02"}


async def _send(shop: Shop, task: Any) -> None:
    await tasks.release(shop.services, task.userid, task.id)
    await tasks.confirm_sent(shop.services, task.userid, task.id, ok=True)


async def _order(shop: Shop, who: Customer, number: str, paid_fen: int, refunded_fen: int = 0) -> None:
    values = {
        "channel": "taobao",
        "shop_key": "s",
        "order_no": number,
        "person_id": who.person_id,
        "status": "paid",
        "paid_fen": paid_fen,
        "refunded_fen": refunded_fen,
        "ordered_at": shop.clock.now(),
        "paid_at": shop.clock.now(),
        "first_seen_at": shop.clock.now(),
        "last_seen_at": shop.clock.now(),
    }
    query = insert(orders).values(**values)
    order_id = await shop.services.db.write(lambda conn: conn.execute(query.returning(orders.c.id)).scalar_one())
    await shop.happens("order.paid", who, key=f"taobao/s/{number}", facts={"order_id": order_id, "paid_fen": paid_fen})


async def _load(shop: Shop) -> results.Results:
    playbook = playbooks_of(shop.services).current["new-customer"]
    zone, now = shop.services.settings.shop.zone, shop.clock.now()
    return await shop.services.db.read(lambda conn: results.load(conn, playbook, zone=zone, now=now, **DAYS))


async def test_figures_are_true_at_once_and_the_same_after_they_were_tallied(shop: Shop) -> None:
    await shop.run(
        playbook_of(
            step("ask", "T0+1h", ttl=timedelta(hours=4)),
            step("again", "D+3 10:00-11:30"),
            goal=Goal("order.paid", timedelta(days=7)),
        )
    )
    people = [await shop.add(f"客户{number}", userid=("lina", "zoe")[number % 2]) for number in range(6)]
    await shop.pass_time(hours=1)
    opened = {task.person_id: task for task in await shop.tasks()}
    await shop.pass_time(minutes=20)
    for who in people[:3]:
        await _send(shop, opened[who.person_id])
    await tasks.skip(shop.services, people[3].userid, opened[people[3].person_id].id, "已经聊过了")
    await shop.pass_time(hours=1)
    await _order(shop, people[0], "1", 12_900, refunded_fen=2_900)
    await shop.happens("message.radar_opened", people[1], userid=people[1].userid)
    await shop.happens("message.radar_opened", people[1], userid=people[1].userid)
    await shop.lose(people[2])
    await shop.pass_time(hours=4)

    def seen(found: results.Results) -> dict[str, Any]:
        ask = found.steps[0]
        names = ("targeted", "released", "confirmed", "delivered", "in_time", "skipped", "expired")
        return {name: ask.figures[name] for name in names} | {"reasons": ask.figures.reasons, "runs": found.runs}

    wanted = {
        "targeted": 6,
        "released": 6,
        "confirmed": 3,
        "delivered": 3,
        "in_time": 3,
        "skipped": 1,
        "expired": 2,
        "reasons": [("已超过有效期", 2), ("已经聊过了", 1)],
        "runs": {"entered": 6, "goal": 1, "exited": 1},
    }
    assert seen(await _load(shop)) == wanted
    for _ in range(3):
        await tally.tick(shop.services)
        await shop.pass_time(minutes=20)
    found = await _load(shop)
    assert seen(found) == wanted
    ask = found.steps[0]
    assert (ask.figures["opened"], ask.figures["lost"], ask.figures["refused"]) == (1, 1, 0)
    assert ask.figures.annoyance == pytest.approx(1000 / 3)
    assert ask.figures.confirm_rate == pytest.approx(3 / 6)
    assert 15 <= (ask.figures.median_minutes or 0) <= 20
    assert (found.goals, found.net_fen, ask.goals, ask.net_fen) == (1, 10_000, 1, 10_000)
    assert found.goals_within == {1: 1, 3: 1, 7: 1, 30: 1}
    assert [(member.userid, member.figures["released"], member.figures["confirmed"]) for member in found.members] == [
        ("lina", 3, 2),
        ("zoe", 3, 1),
    ]
    assert found.living == 4


async def test_who_leaves_more_than_a_day_after_a_message_does_not_leave_because_of_it(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    soon, late = await shop.add("甲"), await shop.add("乙")
    await shop.pass_time(hours=1)
    for task in await shop.tasks():
        await _send(shop, task)
    for who, hours in ((soon, 23), (late, 2)):
        await shop.pass_time(hours=hours)
        await shop.lose(who)
    for _ in range(3):
        await tally.tick(shop.services)
        await shop.pass_time(minutes=20)
    figures = (await _load(shop)).steps[0].figures
    assert (figures["delivered"], figures["lost"]) == (2, 1)


async def test_a_goal_is_credited_to_the_last_message_of_three_days_and_to_none_after_that(shop: Shop) -> None:
    await shop.run(
        playbook_of(step("one", "T0+1h"), step("two", "T0+30h"), goal=Goal("order.paid", timedelta(days=20)))
    )
    soon, late = await shop.add("甲"), await shop.add("乙")
    for _ in range(2):
        await shop.pass_time(hours=30)
        for task in await shop.tasks():
            if task.state == "open":
                await _send(shop, task)
    await shop.pass_time(hours=41)  # both were sent thirty hours before
    await _order(shop, soon, "1", 100)
    await shop.pass_time(hours=2)
    await _order(shop, late, "2", 100)
    for _ in range(3):
        await tally.tick(shop.services)
        await shop.pass_time(minutes=20)
    rows = await shop.rows(conversion)
    assert [row.step_id for row in rows] == ["two", ""]


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_tallied_bit_by_bit_equals_a_recount(shop: Shop, seed: int) -> None:
    """Whatever members and customers do, and whenever a tick comes between."""
    chance = random.Random(seed)
    await shop.run(
        playbook_of(
            step("ask", "T0+1h", ttl=timedelta(hours=3)),
            step("tag", "T0+2h", "X", act=({"set": {"stage": "潜客"}},)),
            step("again", "T0+26h", ttl=timedelta(hours=6)),
            goal=Goal("order.paid", timedelta(days=7)),
        )
    )
    people = [await shop.add(f"老客{number}") for number in range(3)]
    for turn in range(40):
        act = chance.random()
        waiting = [task for task in await shop.tasks() if task.state == "open"]
        if act < 0.3:
            people.append(await shop.add(f"客户{turn}", userid=chance.choice(("lina", "zoe"))))
        elif act < 0.55 and waiting:
            await _send(shop, chance.choice(waiting))
        elif act < 0.62 and waiting:
            one = chance.choice(waiting)
            await tasks.skip(shop.services, one.userid, one.id, "现在不合适")
        elif act < 0.65 and people:
            await _order(shop, chance.choice(people), str(turn), 5_000)
        elif act < 0.69 and people:
            who = people.pop(chance.randrange(len(people)))
            await shop.lose(who)
        elif act < 0.74 and people:
            who = chance.choice(people)
            await shop.happens("message.radar_opened", who, userid=who.userid)
        else:
            await shop.pass_time(minutes=chance.choice((1, 7, 25, 90, 400)))
        if chance.random() < 0.5:
            await tally.tick(shop.services)
    for _ in range(3):
        await shop.pass_time(minutes=30)
        await tally.tick(shop.services)
    columns = list(tally_table.c)
    query = select(*columns).order_by(*columns)
    grown = await shop.services.db.read(lambda conn: [tuple(row) for row in conn.execute(query)])
    credited = await shop.rows(conversion)
    assert len(grown) > 10
    published, zone, now = playbooks_of(shop.services), shop.services.settings.shop.zone, shop.clock.now()
    await shop.services.db.write(lambda conn: conn.execute(update(tally_table).values(count=9)) and None)
    changed = await tally.recount(shop.services.db, published, zone, now)
    assert list(changed) == ["new-customer"]
    assert await tally.recount(shop.services.db, published, zone, now) == {}
    assert await shop.services.db.read(lambda conn: [tuple(row) for row in conn.execute(query)]) == grown
    assert await shop.rows(conversion) == credited


async def test_those_left_alone_are_counted_apart_and_their_goals_are_nobody_s_merit(shop: Shop) -> None:
    await shop.run(
        playbook_of(step("ask", "T0+1h"), goal=Goal("order.paid", timedelta(days=2)), holdout=0.5, priority="P3")
    )
    people = [await shop.add(f"客户{number}") for number in range(10)]
    held_out = {run.person_id for run in await shop.runs() if run.is_holdout}
    assert 0 < len(held_out) < 10
    await shop.pass_time(hours=1)
    for task in await shop.tasks():
        await _send(shop, task)
    for number, who in enumerate(people):
        if number % 2:
            await _order(shop, who, str(number), 1_000)
    await shop.pass_time(days=4)
    for _ in range(3):
        await tally.tick(shop.services)
        await shop.pass_time(minutes=20)
    found = await _load(shop)
    bought = {who.person_id for number, who in enumerate(people) if number % 2}
    assert (found.runs["entered"], found.held_out["entered"]) == (10 - len(held_out), len(held_out))
    assert (found.runs["goal"], found.held_out["goal"]) == (len(bought - held_out), len(bought & held_out))
    assert found.steps[0].figures["targeted"] == 10 - len(held_out)
    assert (found.goals, found.net_fen) == (len(bought - held_out), 1_000 * len(bought - held_out))
    assert found.uplift is not None
    assert (found.uplift.missing, found.uplift.treated.count, found.uplift.holdout.hits) == (
        200 - len(held_out),
        10 - len(held_out),
        len(bought & held_out),
    )
