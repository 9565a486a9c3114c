"""What a link brought equals a recount by hand, and WeCom's own count is read a whole day at a time."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from scrm.contact_ways import acquisition, link_figures, store
from scrm.contact_ways.link_figures import Came, Told
from scrm.contact_ways.models import acquisition_customer, way_add
from scrm.contact_ways.plan import Plan
from scrm.services import Services
from scrm.wecom.acquisition import AcquisitionLink
from scrm.wecom.errors import WeComError
from scrm.work.progress import Progress
from tests.fakes.clock import FakeClock
from tests.world import World

NOW, SHOP = FakeClock().now(), ZoneInfo("America/New_York")  # a clock that is put forward on the 8th of March
STATISTIC = "externalcontact/customer_acquisition/statistic"


async def test_figures_equal_a_recount_across_a_change_of_clocks(services: Services) -> None:
    adds = await services.db.write(fill)
    first, last = date(2026, 2, 25), date(2026, 3, 19)
    found = await services.db.read(link_figures.figures, "caA", first, last, SHOP)
    within = [each for each in adds if first <= each[1] <= last]
    assert len(within) > 60
    assert sorted(found.channels) == ["", "a", "b"]
    assert found.titles == {"a": "渠道 a", "b": "渠道 b"}
    for place, counted in ((0, found.channels), (1, found.days)):
        many = Counter(each[place] for each in within)
        talked = Counter(each[place] for each in within if each[2])
        lost = Counter(each[place] for each in within if each[3])
        for key, came in counted.items():
            assert came == Came(many[key], talked[key], lost[key]), key
        assert sum(each.adds for each in counted.values()) == len(within) == found.total.adds


def fill(tables: Connection) -> list[tuple[str, date, bool, bool]]:
    """Three hundred adds; returns the link's: state, day of the shop, whether they wrote, whether they are gone."""
    dice = random.Random(7)
    now = datetime(2026, 3, 20, 9, 0, tzinfo=UTC)
    acquisition.save_link(tables, AcquisitionLink("caA", "抖音"), now)
    for state, link_id in (("a", "caA"), ("b", "caA"), ("other", "caB")):
        store.add_way(
            tables, state, title=f"渠道 {state}", kind="投放", userids=["lina"], skip_verify=True, plan=Plan(),
            link_id=link_id, now=now,
        )  # fmt: skip
    adds, wrote = [], set()
    for number in range(300):
        who, userid = f"wm{number}", dice.choice(("LiNa", "wuhao"))
        state = dice.choice(("a", "b", "other", "", ""))
        added_at = now - timedelta(minutes=dice.randrange(30 * 24 * 60))
        lost_at = dice.choice((None, added_at + timedelta(days=1)))
        tables.execute(
            way_add.insert().values(
                event_id=number + 1, state=state, userid=userid, external_userid=who, person_id=number + 1,
                added_at=added_at, lost_at=lost_at,
            )
        )  # fmt: skip
        is_listed = dice.random() < 0.6
        if is_listed:
            status = dice.choice((0, 1, 2))
            tables.execute(
                acquisition_customer.insert().values(
                    link_id="caA", external_userid=who, userid=userid.lower(), chat_status=status, noticed_at=now
                )
            )
            wrote |= {who} if status == 1 else set()
        if state in ("a", "b") or (state == "" and is_listed):
            adds.append((state, added_at.astimezone(SHOP).date(), who in wrote, lost_at is not None))
    return adds


@pytest.mark.parametrize(
    ("balance", "warning", "hours", "days_left", "expected"),
    [
        (100, "", None, 99, ""),
        (19, "", None, 99, "balance_low"),
        (0, "", None, 99, "balance_exhausted"),
        (100, "", None, 13, "quota_expire_soon"),
        (100, "", None, 15, ""),
        (100, "balance_low", -1, 99, ""),  # bought since: WeCom tells that only of an empty balance
        (100, "balance_low", 1, 99, "balance_low"),  # told after the figure was read
    ],
)
def test_a_warning_follows_what_was_learnt_last(
    balance: int, warning: str, hours: int | None, days_left: int, expected: str
) -> None:
    expires = int((NOW + timedelta(days=days_left)).timestamp())
    quota = SimpleNamespace(
        balance=balance, parts=[{"expire_date": expires, "balance": balance}], checked_at=NOW, warning=warning,
        warned_at=None if hours is None else NOW + timedelta(hours=hours),
    )  # fmt: skip
    assert acquisition.warning_of(quota, NOW) == expected  # type: ignore[arg-type]
    assert acquisition.warning_of(None, NOW) == ""


async def test_the_night_completes_what_wecom_counts_and_a_refusal_is_a_note(world: World) -> None:
    path = "externalcontact/customer_acquisition/"
    world.wecom.always(path + "list_link", lambda _: {"link_id_list": ["caA"]})
    world.wecom.always(path + "get", lambda _: {"link": {"link_name": "抖音", "create_time": 1}})
    world.wecom.always(path + "statistic", lambda _: {"click_link_customer_cnt": 5, "new_customer_cnt": 2})
    world.wecom.say(STATISTIC, 40058)
    progress = Progress()
    await acquisition.sync_links(world.services, progress, False)
    assert "caA 的统计没有读到" in progress.notes[0]
    await acquisition.sync_links(world.services, Progress(), False)
    yesterday = date(2026, 3, 1)
    told = await world.services.db.read(link_figures.told_days, "caA", yesterday - timedelta(days=29), yesterday)
    assert told == {yesterday - timedelta(days=number): Told(5, 2) for number in range(7)}
    assert len(world.wecom.called(STATISTIC)) == 8
    await world.pass_time(hours=24)
    world.wecom.say(STATISTIC, 45009)
    with pytest.raises(WeComError):  # over for now: the whole source is gone on with later
        await acquisition.sync_links(world.services, Progress(), False)
