"""Customers handed from one member to another: asked in batches, followed up, moved once, whoever tells of it first."""

from datetime import timedelta
from typing import Any

import pytest

from scrm.errors import Invalid
from scrm.events import event
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user
from scrm.sop.models import enrolment, send, task
from scrm.transfers import store
from scrm.transfers.begin import begin
from scrm.transfers.models import transfer_customer, transfer_group, unassigned_contact
from scrm.transfers.store import Plan
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.fakes.transfers import FakeTransfers
from tests.world import ANING, XIAOMAN, World


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """SQLite, and PostgreSQL for the tests that are about two who act at once."""
    return str(request.getfixturevalue(getattr(request, "param", "sqlite_url")))


@pytest.fixture
def transfers(world: World) -> FakeTransfers:
    return FakeTransfers(world.wecom, world.clock.now)


@pytest.fixture
async def waiting(world: World) -> World:
    """Xiaoman is Lina's customer with a run, and an open task three days later; Meiqi is a colleague."""
    for userid, name in (("lina", "李娜"), ("meiqi", "梅琪")):
        await world.services.db.write(profiles.save_member, userid, name=name, now=world.clock.now())
    await world.add()
    await world.pass_time(days=3, hours=1)
    (open_task,) = await world.rows(task, task.c.state == "open")
    assert open_task.userid == "lina"
    assert "李娜" in open_task.text
    return world


async def hand_over(world: World, *contacts: str, **more: Any) -> int:
    plan = Plan("lina", "meiqi", resigned=False, created_by="boss", external_userids=contacts or None, **more)
    number = await world.services.db.write(begin, plan, now=world.clock.now())
    await world.settle()
    return number


async def states(world: World) -> dict[str, str]:
    return {row.external_userid: row.state for row in await world.rows(transfer_customer)}


def xml(world: World, change_type: str, userid: str, **fields: str) -> str:
    created_at = int(world.clock.now().timestamp())
    return fake.event_xml(change_type, created_at=created_at, UserID=userid, ExternalUserID=XIAOMAN, **fields)


async def tell(world: World, body: str) -> None:
    assert (await world.tell(body)).status == 200
    await world.settle()


async def assert_meiqi_has_it_all(world: World) -> None:
    assert await states(world) == {XIAOMAN: "done"}
    assert {row.userid for row in await world.rows(enrolment, enrolment.c.state == "active")} == {"meiqi"}
    (moved,) = await world.rows(task)
    assert (moved.state, moved.userid, moved.released_at) == ("open", "meiqi", None)
    assert "梅琪" in moved.text
    assert "李娜" not in moved.text
    assert {row.userid: row.ended_by for row in await world.rows(follow_user)} == {"lina": "member", "meiqi": ""}
    assert len(await world.rows(event, event.c.name == "contact.taken_over")) == 1
    assert len(await world.rows(event, event.c.name == "contact.added")) == 1  # the first, of Lina
    assert await world.rows(event, event.c.name == "contact.lost_by_member") == []
    assert len(await world.rows(enrolment)) == 1
    assert len(await world.rows(send, send.c.kind == "welcome")) == 1


async def test_begun_is_not_done_and_when_it_is_everything_open_goes_to_the_new_owner(
    waiting: World, transfers: FakeTransfers
) -> None:
    await hand_over(waiting, message="之后由梅琪为您服务")
    (asked,) = transfers.asked
    assert asked["transfer_success_msg"] == "之后由梅琪为您服务"
    assert await states(waiting) == {XIAOMAN: "waiting"}
    await waiting.pass_time(minutes=3)
    (row,) = await waiting.rows(transfer_customer)
    assert row.takeover_at == row.asked_at + timedelta(hours=24)
    assert (await waiting.rows(task))[0].userid == "lina"  # errcode 0 was only the beginning
    transfers.settle(XIAOMAN, 1)
    await waiting.services.db.write(store.save_planned, row.transfer_id, {XIAOMAN: waiting.clock.now()})
    await waiting.pass_time(minutes=3, hours=24)
    assert (await states(waiting))[XIAOMAN] == "done"


_EVENTS = {
    "the taker's add": [("add_external_contact", "meiqi", {})],
    "an add with a code": [("add_external_contact", "meiqi", {"WelcomeCode": "of the takeover"})],
    "the giver's delete": [("del_external_contact", "lina", {"Source": "DELETE_BY_TRANSFER"})],
    "delete, then add": [
        ("del_external_contact", "lina", {"Source": "DELETE_BY_TRANSFER"}),
        ("add_external_contact", "meiqi", {"WelcomeCode": "c"}),
    ],
    "add, then a delete that says no source": [
        ("add_external_contact", "meiqi", {}),
        ("del_external_contact", "lina", {}),
    ],
    "no event at all": [],
}


@pytest.mark.parametrize("database_url", ["sqlite_url", "postgresql_url"], indirect=True)
@pytest.mark.parametrize("told", _EVENTS.values(), ids=_EVENTS.keys())
async def test_whoever_tells_first_moves_it_once_and_nobody_is_greeted_again(
    waiting: World, transfers: FakeTransfers, told: list[tuple[str, str, dict[str, str]]]
) -> None:
    await hand_over(waiting)
    waiting.clock.advance(minutes=30)
    transfers.settle(XIAOMAN, 1)
    for change_type, userid, fields in told:
        await tell(waiting, xml(waiting, change_type, userid, **fields))
        await tell(waiting, xml(waiting, change_type, userid, **fields))  # WeCom repeats itself
    await waiting.settle()  # the poll comes too
    await assert_meiqi_has_it_all(waiting)
    assert waiting.wecom.called("externalcontact/send_welcome_msg")[1:] == []


async def test_a_customer_who_scans_the_takers_code_meanwhile_is_an_ordinary_add(
    waiting: World, transfers: FakeTransfers
) -> None:
    await hand_over(waiting)
    await tell(waiting, xml(waiting, "add_external_contact", "meiqi", State="live-1111", WelcomeCode="own"))
    assert await states(waiting) == {XIAOMAN: "waiting"}
    assert len(waiting.wecom.called("externalcontact/send_welcome_msg")) == 2


@pytest.mark.parametrize(
    ("fail_reason", "status", "state", "words"),
    [
        ("customer_refused", None, "refused", "24 小时内拒绝"),
        ("customer_limit_exceed", None, "limit", "已达上限"),
        (None, 3, "refused", "24 小时内拒绝"),
        (None, 4, "limit", "已达上限"),
    ],
)
async def test_a_refusal_leaves_everything_with_the_old_owner_and_says_why(
    waiting: World, transfers: FakeTransfers, fail_reason: str | None, status: int | None, state: str, words: str
) -> None:
    await hand_over(waiting)
    if fail_reason:
        await tell(waiting, xml(waiting, "transfer_fail", "meiqi", FailReason=fail_reason))
    else:
        transfers.settle(XIAOMAN, status or 0)
        await waiting.pass_time(minutes=3)
    (row,) = await waiting.rows(transfer_customer)
    assert row.state == state
    assert words in row.reason
    assert (await waiting.rows(task))[0].userid == "lina"
    assert len(await waiting.rows(event, event.c.name == "contact.transfer_failed")) == 1


async def test_each_refused_row_says_its_own_reason_in_chinese(world: World, transfers: FakeTransfers) -> None:
    codes = [40096, 40097, 40098, 40099, 40100, 40128, 40129, 40130, 40131, 40132, 40143, 84061, 99999]
    contacts = [f"wmRow{code}" for code in codes]
    await _befriend(world, contacts)
    transfers.refused = dict(zip(contacts, codes, strict=True))
    await hand_over(world)
    rows = {row.errcode: row for row in await world.rows(transfer_customer)}
    assert set(rows) == set(codes)
    assert all(len(row.reason) >= 5 for row in rows.values())
    assert {row.state for code, row in rows.items() if code != 40099} == {"failed"}
    assert rows[40099].state == "limit"
    assert await world.rows(work_item) == []


async def test_250_customers_are_three_calls_and_a_kill_between_call_and_answer_repeats_none(
    world: World, transfers: FakeTransfers
) -> None:
    contacts = [f"wmMany{number:04}" for number in range(250)]
    await _befriend(world, contacts)
    transfers.page = 100
    answered = transfers._transfer

    def lost(body: dict[str, Any]) -> dict[str, Any]:
        """WeCom does it, and the answer gets lost on the way."""
        answered(body)
        return {"errcode": -1, "errmsg": "system busy"}

    world.wecom.say("externalcontact/transfer_customer", answered, lost)
    await hand_over(world)
    await world.pass_time(seconds=2)
    assert [len(body["external_userid"]) for body in transfers.asked] == [100, 100, 50]
    assert set((await states(world)).values()) == {"waiting"}
    for contact in contacts:
        transfers.settle(contact, 1)
    await world.pass_time(minutes=3)
    assert set((await states(world)).values()) == {"done"}


async def test_what_cannot_be_handed_over_is_said_before_anything_is_kept(world: World) -> None:
    await _befriend(world, [XIAOMAN])
    cases = {
        Plan("lina", "LINA", resigned=False): "同一个人",
        Plan("lina", "nobody", resigned=False): "不存在",
        Plan("lina", "meiqi", resigned=False, message="好" * 201): "最多 200",
        Plan("lina", "meiqi", resigned=False, external_userids=(ANING,)): "没有可以转接的客户",
    }
    for plan, words in cases.items():
        with pytest.raises(Invalid, match=words):
            await world.services.db.write(begin, plan, now=world.clock.now())
    assert await world.rows(transfer_customer) == []


async def test_the_third_transfer_within_90_days_is_refused_before_the_call(
    world: World, transfers: FakeTransfers
) -> None:
    await _befriend(world, [XIAOMAN])
    for giver, taker in (("lina", "meiqi"), ("meiqi", "lina")):
        plan = Plan(giver, taker, resigned=False)
        await world.services.db.write(begin, plan, now=world.clock.now())
        await world.settle()
        transfers.settle(XIAOMAN, 1)
        await world.pass_time(minutes=3)
        transfers.records.clear()
        await world.pass_time(days=2)
    await hand_over(world)
    newest = max(await world.rows(transfer_customer), key=lambda row: row.id)
    assert (newest.state, newest.errcode) == ("failed", 40128)
    assert len(transfers.asked) == 2


async def test_customers_of_a_member_who_left_are_listed_and_handed_over(
    world: World, transfers: FakeTransfers
) -> None:
    from scrm.transfers.unassigned import ask_anew

    await _befriend(world, [XIAOMAN])
    left_at = int(world.clock.now().timestamp()) - 3600
    gone = [{"handover_userid": "wuhao", "external_userid": one, "dimission_time": left_at} for one in (XIAOMAN, ANING)]
    world.wecom.say(
        "externalcontact/get_unassigned_list",
        {"errcode": 0, "info": gone[:1], "is_last": False, "next_cursor": "more"},
        {"errcode": 0, "info": [], "is_last": False, "next_cursor": "still more"},
        {"errcode": 0, "info": gone[1:], "is_last": True, "next_cursor": ""},
    )
    await world.services.db.write(ask_anew, now=world.clock.now())
    await world.settle()
    assert len(await world.rows(unassigned_contact)) == 2
    await world.services.db.write(begin, Plan("wuhao", "meiqi", resigned=True), now=world.clock.now())
    await world.settle()
    assert world.wecom.called("externalcontact/transfer_customer") == []
    transfers.settle(ANING, 1)
    await world.pass_time(minutes=3)
    assert await states(world) == {XIAOMAN: "waiting", ANING: "done"}
    assert [row.external_userid for row in await world.rows(unassigned_contact)] == [XIAOMAN]


async def test_groups_go_a_hundred_a_call_and_300_a_day(world: World) -> None:
    await _befriend(world, [])
    groups = {f"wrGroup{number:03}": f"福利群 {number}" for number in range(350)}
    path = "externalcontact/groupchat/onjob_transfer"
    world.wecom.say(path, {"errcode": 0, "failed_chat_list": [{"chat_id": "wrGroup007", "errcode": 90502}]})
    plan = Plan("lina", "meiqi", resigned=False, external_userids=(), groups=groups)
    await world.services.db.write(begin, plan, now=world.clock.now())
    await world.settle()
    assert [len(body["chat_id_list"]) for body in world.wecom.called(path)] == [100, 100, 100, 1]
    await world.pass_time(days=1)
    rows = {row.chat_id: row for row in await world.rows(transfer_group)}
    assert sum(row.state == "done" for row in rows.values()) == 349
    assert rows["wrGroup007"].reason == "群主已离职，请改用“离职继承”"


async def _befriend(world: World, contacts: list[str]) -> None:
    now = world.clock.now()

    def meet(conn: Any) -> None:
        for userid in ("lina", "meiqi"):
            profiles.save_member(conn, userid, name=userid.title(), now=now)
        for external_userid in contacts:
            contact = profiles.ensure_contact(conn, external_userid, now=now)
            follows = profiles.Relation(
                "lina", external_userid, contact.person_id, state="", is_half=False, followed_at=now
            )
            profiles.ensure_follow_users(conn, [follows])

    await world.services.db.write(meet)
    for external_userid in contacts:
        world.wecom.add_contact(external_userid, external_userid[-4:], "lina")


async def test_killed_before_the_call_customers_are_looked_up_and_asked_for_once(
    world: World, transfers: FakeTransfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _befriend(world, [XIAOMAN, ANING])
    with killed_before(monkeypatch, "externalcontact/transfer_customer"):
        await hand_over(world)
    assert transfers.asked == []
    await revive(world.services)
    await world.settle()
    assert [sorted(body["external_userid"]) for body in transfers.asked] == [sorted([XIAOMAN, ANING])]
    assert set((await states(world)).values()) == {"waiting"}


@pytest.mark.parametrize(("killed", "errcode"), [(killed_before, 0), (killed_after, 90508)])
async def test_killed_around_the_call_a_group_is_handed_over_and_its_new_owner_is_no_failure(
    world: World, monkeypatch: pytest.MonkeyPatch, killed: Any, errcode: int
) -> None:
    await _befriend(world, [])
    path = "externalcontact/groupchat/onjob_transfer"
    plan = Plan("lina", "meiqi", resigned=False, external_userids=(), groups={"wrGroup1": "福利群"})
    await world.services.db.write(begin, plan, now=world.clock.now())
    with killed(monkeypatch, path):
        await world.settle()
    assert [row.state for row in await world.rows(transfer_group)] != ["done"]
    await revive(world.services)
    failed = [{"chat_id": "wrGroup1", "errcode": errcode}] if errcode else []
    world.wecom.say(path, {"errcode": 0, "failed_chat_list": failed})
    await world.settle()
    assert [(row.state, row.reason) for row in await world.rows(transfer_group)] == [("done", "")]
    await world.settle()
    assert len(world.wecom.called(path)) == (2 if killed is killed_after else 1)
