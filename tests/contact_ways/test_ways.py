"""Codes in WeCom are what ours say they are, whatever happens on the way."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.contact_ways import ledger, ways
from scrm.contact_ways.models import contact_way, way_add
from scrm.contact_ways.plan import Plan, Shift
from scrm.errors import Conflict, Invalid
from scrm.profiles.models import follow_user, follow_user_tag
from scrm.work.models import DEAD, work_item
from scrm.work.progress import Progress
from tests.world import ANING, XIAOMAN, World


class Codes:
    """WeCom's side of channel codes, as far as the page says (doc 92228); `lost` answers never arrive."""

    def __init__(self, world: World) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.world = world
        self.numbers = count(1)
        for name in ("add", "get", "list", "update", "del"):
            answers = [getattr(self, name)] * 40
            world.wecom.say(f"externalcontact/{name}_contact_way", *answers)

    def add(self, body: dict[str, Any]) -> dict[str, Any]:
        config_id = f"cfg{next(self.numbers)}"
        self.kept[config_id] = {**body, "config_id": config_id, "qr_code": f"https://qr.example/{config_id}"}
        return {"errcode": 0, "config_id": config_id, "qr_code": f"https://qr.example/{config_id}"}

    def get(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"errcode": 0, "contact_way": self.kept[body["config_id"]]}

    def list(self, body: dict[str, Any]) -> dict[str, Any]:
        start = int(body.get("cursor", 0))
        page = [{"config_id": config_id} for config_id in self.kept][start : start + 1]
        more = start + 1 < len(self.kept)
        return {"errcode": 0, "contact_way": page, "next_cursor": str(start + 1) if more else ""}

    def update(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["config_id"] not in self.kept:
            return {"errcode": 41044, "errmsg": "invalid config_id"}
        self.kept[body["config_id"]] |= body
        return {"errcode": 0}

    def __getattr__(self, name: str) -> Any:
        if name == "del":
            return lambda body: {"errcode": 0 if self.kept.pop(body["config_id"], None) else 41044}
        raise AttributeError(name)

    @property
    def one(self) -> dict[str, Any]:
        (code,) = self.kept.values()
        return code


@pytest.fixture
def codes(world: World) -> Codes:
    return Codes(world)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def make(
    world: World, plan: Plan | None = None, *, state: str = "live-1", userids: tuple[str, ...] = ("lina",)
) -> str:
    def write(conn: Connection) -> str:
        return ways.make(
            conn, title="直播间", kind="直播", userids=userids, plan=plan, state=state, now=world.clock.now()
        )

    made = await world.services.db.write(write)
    await world.settle()
    return made


async def row_of(world: World, state: str = "live-1") -> Any:
    (row,) = await world.rows(contact_way, contact_way.c.state == state)
    return row


async def to(world: World, local: datetime) -> None:
    """The shop's clock goes on to a local moment, and codes whose hour has come are moved."""
    world.clock.advance(seconds=(local - world.clock.now()).total_seconds())
    await ways.tick(world.services)
    await world.settle()


async def test_a_code_is_made_moved_by_its_shifts_and_ended(world: World, codes: Codes) -> None:
    zone = world.services.settings.shop.zone
    morning = world.clock.now().astimezone(zone).replace(hour=8, minute=0) + timedelta(days=1)
    plan = Plan(shifts=(Shift(start="09:00", end="18:00", userids=("lina",)),), backup=("wuhao",))
    await make(world, plan)
    qr = (await row_of(world)).qr_code
    assert qr == codes.one["qr_code"]
    seen = []
    for hour in (8, 9, 12, 18):
        await to(world, morning.replace(hour=hour))
        seen.append(codes.one["user"])
    assert seen == [["wuhao"], ["lina"], ["lina"], ["wuhao"]]
    calls = len(world.wecom.called("externalcontact/update_contact_way"))
    await to(world, morning.replace(hour=23))
    assert len(world.wecom.called("externalcontact/update_contact_way")) == calls  # nothing to say
    await world.services.db.write(lambda conn: ways.end(conn, "live-1", now=world.clock.now()))
    await world.settle()
    assert codes.kept == {}
    assert (await row_of(world)).deleted_at is not None
    with pytest.raises(Conflict):  # customers carry the state: it is never given again
        await make(world)


async def test_who_has_had_enough_is_taken_out_until_midnight_of_the_shop(world: World, codes: Codes) -> None:
    zone = world.services.settings.shop.zone
    noon = world.clock.now().astimezone(zone).replace(hour=12, minute=0) + timedelta(days=1)
    await to(world, noon)
    await make(world, Plan(cap=1, backup=("boss",)), userids=("lina", "wuhao"))
    assert codes.one["user"] == ["lina", "wuhao"]
    await world.add(XIAOMAN, "lina", State="live-1")
    await world.pass_time(seconds=6)
    assert codes.one["user"] == ["wuhao"]
    await world.add(ANING, "WuHao", State="live-1")
    await world.pass_time(seconds=6)
    assert codes.one["user"] == ["boss"]
    await to(world, (noon + timedelta(days=1)).replace(hour=0, minute=0, second=1))
    assert codes.one["user"] == ["lina", "wuhao"]


async def test_a_code_whose_answer_was_lost_is_found_and_not_made_twice(world: World, codes: Codes) -> None:
    codes.kept["other"] = {"config_id": "other", "state": "elsewhere", "user": ["lina"]}

    def lose(body: dict[str, Any]) -> dict[str, Any]:
        codes.add(body)
        return "<html>bad gateway</html>"  # type: ignore[return-value]

    world.wecom._queued["externalcontact/add_contact_way"].appendleft(lose)
    await make(world)
    assert (await row_of(world)).config_id == ""
    await world.pass_time(seconds=5)
    await world.pass_time(seconds=5)
    assert [code["state"] for code in codes.kept.values()] == ["elsewhere", "live-1"]
    row = await row_of(world)
    assert (row.config_id, row.problem) == ("cfg1", "")


@pytest.mark.parametrize(("errcode", "is_dead"), [(41054, False), (60011, True)])
async def test_what_wecom_refuses_is_told_and_a_later_change_is_a_new_try(
    world: World, codes: Codes, errcode: int, is_dead: bool
) -> None:
    world.wecom._queued["externalcontact/add_contact_way"].appendleft(errcode)
    await make(world)
    row = await row_of(world)
    assert (row.config_id, bool(row.problem)) == ("", True)
    # Trying again by itself would not help: it is left, or a dead letter for whoever mends the visible range.
    assert [item.state for item in await world.rows(work_item)] == ([DEAD] if is_dead else [])

    def change(conn: Connection) -> None:
        ways.change(
            conn, "live-1", title="直播间", kind="直播", userids=["wuhao"], skip_verify=False, plan=Plan(),
            now=world.clock.now(),
        )  # fmt: skip

    await world.services.db.write(change)
    await world.pass_time(minutes=2)
    await world.pass_time(minutes=20)
    row = await row_of(world)
    assert (codes.one["user"], codes.one["skip_verify"], row.problem) == (["wuhao"], False, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": " "}, "请填写渠道名称"),
        ({"title": "一" * 31}, "最多 30 个字"),
        ({"userids": []}, "至少选一位接待员工"),
        ({"userids": [f"u{number}" for number in range(101)]}, "最多 100 位"),
        ({"state": "直播"}, "渠道标识“直播”不可用"),
        ({"state": "x" * 31}, "30 个字母"),
    ],
)
async def test_what_wecom_would_refuse_is_refused_first(world: World, change: dict[str, Any], words: str) -> None:
    wanted = {"title": "直播间", "kind": "", "userids": ["lina"], **change}
    with pytest.raises(Invalid, match=words):
        await world.services.db.write(lambda conn: ways.make(conn, now=world.clock.now(), **wanted))


@pytest.mark.usefixtures("codes")
async def test_an_add_gets_the_tags_and_the_remark_of_its_channel_after_the_welcome(world: World) -> None:
    await make(world, Plan(tags=("直播三月",), tag_days=30, remark="{昵称}-直播"))
    await world.add(State="live-1")
    await world.settle()
    marked = [(row.tag_name, row.source, row.reason) for row in await world.rows(follow_user_tag)]
    assert ("直播三月", "channel", "渠道：直播间") in marked
    (call,) = world.wecom.called("externalcontact/remark")
    assert call["remark"] == "小满-直播"
    assert [row.remark for row in await world.rows(follow_user)] == ["小满-直播"]
    order = [path for path, _ in world.wecom.calls]
    assert order.index("externalcontact/send_welcome_msg") < order.index("externalcontact/mark_tag")


@pytest.mark.usefixtures("codes")
async def test_a_remark_that_the_member_wrote_is_left_alone(world: World) -> None:
    world.wecom.contacts[XIAOMAN]["follow_user"][0]["remark"] = "王姐介绍"
    await make(world, Plan(remark="{昵称}-直播"))
    await world.add(State="live-1")
    await world.settle()
    assert not world.wecom.called("externalcontact/remark")


async def test_a_sync_adopts_codes_made_elsewhere_and_notes_what_it_cannot_count(world: World, codes: Codes) -> None:
    for number, state in enumerate(("old-a", "", "old-b")):
        codes.kept[f"x{number}"] = {
            "config_id": f"x{number}", "state": state, "remark": f"旧码{number}", "user": ["lina"], "party": [2],
        }  # fmt: skip
    progress = Progress()
    await ways.sync_ways(world.services, progress, False)
    await ways.sync_ways(world.services, progress, True)
    await world.settle()
    assert {row.state: row.title for row in await world.rows(contact_way)} == {"old-a": "旧码0", "old-b": "旧码2"}
    assert progress.notes == ["活码“旧码1”没有渠道标识，扫码的客户无法归到渠道"]
    assert not world.wecom.called("externalcontact/update_contact_way")


@pytest.mark.usefixtures("codes")
async def test_the_ledger_says_who_came_by_a_channel_and_who_is_still_there(world: World) -> None:
    await make(world)
    await world.add(State="live-1")
    await world.add(ANING, State="live-1")
    world.clock.advance(hours=1)
    await world.lose()
    world.clock.advance(hours=1)
    await world.add(State="live-1", WelcomeCode="again")
    await world.settle()
    rows = await world.rows(way_add)
    assert sorted((row.external_userid, row.lost_at is not None) for row in rows) == [
        (ANING, False), (XIAOMAN, False), (XIAOMAN, True),
    ]  # fmt: skip
    zone, now = world.services.settings.shop.zone, world.clock.now()
    found = (await world.services.db.read(ledger.figures, now, zone))["live-1"]
    assert (found.adds, found.people, found.lost, found.net) == (3, 2, 1, 2)
