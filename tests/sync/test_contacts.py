"""Customers are compared with WeCom's, and what no callback told us is repaired, told and shown."""

from scrm.contact_ways.models import way_add
from scrm.events import event
from scrm.profiles.models import external_contact, follow_user, follow_user_tag, identity, person
from scrm.sandbox.world import PairState
from scrm.sync.models import missed_callback, sync_part, sync_run
from scrm.work.models import work_item
from tests.sync.conftest import Shop


async def test_a_first_sync_learns_everybody_and_a_second_writes_nothing(any_shop: Shop) -> None:
    shop = any_shop
    tag = shop.sandbox.world.tag_groups[0].tags[0]
    old = [shop.befriend(f"c{number}", tag_ids=[tag.id], remark=f"备注{number}") for number in range(120)]
    shop.befriend("c7", "WuHao", mobiles=["13800136620"])
    outcomes = await shop.sync()
    progress = outcomes["contacts"].progress
    assert (progress.done, progress.added, progress.total, progress.notes) == (121, 121, 121, [])
    assert {row.external_userid for row in await shop.rows(external_contact)} == set(old)
    follows = await shop.rows(follow_user, follow_user.c.userid == "lina")
    assert {row.remark for row in follows} == {f"备注{number}" for number in range(120)}
    assert {(row.tag_name, row.group_name) for row in await shop.rows(follow_user_tag)} == {("直播间", "客户来源")}
    kinds = [row.kind for row in await shop.rows(identity)]
    assert (kinds.count("wx_unionid"), kinds.count("mobile_e164"), len(await shop.rows(person))) == (120, 1, 120)
    told = await shop.rows(event)
    assert len(told) == 121
    assert all(row.facts["historic"] for row in told)  # they were there before we looked: no playbook begins
    # Their channels count them from the day they came, without waiting for another sync.
    adds = await shop.rows(way_add)
    assert {(row.event_id, row.added_at, row.state) for row in adds} == {
        (row.id, row.occurred_at, row.facts["state"]) for row in told
    }
    assert await shop.rows(work_item) == []
    assert await shop.rows(missed_callback) == []

    before = await shop.state()
    again = (await shop.sync())["contacts"].progress
    assert (again.done, again.added, again.changed, again.ended) == (121, 0, 0, 0)
    assert await shop.state() == before
    assert len(await shop.rows(event)) == 121


async def test_an_add_no_callback_told_becomes_state_an_event_and_a_line_on_the_board(any_shop: Shop) -> None:
    shop = any_shop
    shop.befriend("old")
    await shop.sync()
    shop.clock.advance(hours=5)
    missed = shop.befriend("missed", days=2 / 24, state="live-1111")
    young = shop.befriend("young", days=1 / 24 / 60)
    await shop.sync()
    told = {row.external_userid: row for row in await shop.rows(event) if not row.facts.get("historic")}
    assert told.keys() == {missed}
    assert (told[missed].name, told[missed].facts["found_by"], told[missed].facts["state"]) == (
        "contact.added", "sync", "live-1111",
    )  # fmt: skip
    board = await shop.rows(missed_callback)
    assert [(row.name, row.userid, row.external_userid) for row in board] == [("contact.added", "lina", missed)]
    assert (board[0].noticed_at - board[0].happened_at).total_seconds() == 7200

    # The young one's callback may be on its way; when it has not come after a while, it was missed too.
    assert {row.kind for row in await shop.rows(work_item)} == {"sync.check_added", "sop.event"}
    shop.clock.advance(minutes=6)
    await shop.services.worker.drain()
    assert {row.external_userid for row in await shop.rows(missed_callback)} == {missed, young}


async def test_a_relation_that_is_gone_ends_only_when_wecom_says_so_itself(any_shop: Shop) -> None:
    shop = any_shop
    stays, gone, left = shop.befriend("stays"), shop.befriend("gone"), shop.befriend("left")
    shop.befriend("gone", "WuHao")
    await shop.sync()
    shop.clock.advance(hours=1)
    world = shop.sandbox.world
    world.pairs["lina", gone].state = PairState.DELETED
    world.pairs["lina", left].state = PairState.LEFT  # one-way: WeCom still lists it
    assert (await shop.sync())["contacts"].progress.ended == 1
    ended = {(row.userid, row.external_userid): row.ended_by for row in await shop.rows(follow_user)}
    assert ended == {("lina", stays): "", ("lina", gone): "member", ("lina", left): "", ("WuHao", gone): ""}
    lost = [row for row in await shop.rows(event) if row.name == "contact.lost_by_member"]
    assert [(row.userid, row.external_userid, row.facts["found_by"]) for row in lost] == [("lina", gone, "sync")]
    assert [row.happened_at for row in await shop.rows(missed_callback)] == [None]
    # And the member adds the customer again, unheard.
    shop.clock.advance(hours=2)
    shop.befriend("gone", days=1 / 24)
    assert (await shop.sync())["contacts"].progress.added == 1
    assert {row.ended_by for row in await shop.rows(follow_user)} == {""}


async def test_nothing_ends_because_a_call_failed_or_a_member_is_not_shown(shop: Shop) -> None:
    shop.befriend("one")
    shop.befriend("two", "WuHao")
    await shop.sync()
    before = await shop.state()
    for endpoint in ("externalcontact/batch/get_by_user", "externalcontact/list"):
        for errcode in (84061, 60111, 48002):
            shop.sandbox.faults.fail_next(endpoint, errcode, 2)
            outcome = (await shop.sync("contacts", full=True))["contacts"]
            assert (outcome.error is not None) == (errcode == 48002)
            shop.sandbox.faults.errcodes.clear()
    assert await shop.state() == before
    # Nor when everybody vanishes from the list of members with customers.
    shop.sandbox.world.members.clear()
    await shop.sync("contacts", full=True)
    assert await shop.state() == before


async def test_what_differs_is_mended_and_only_that(any_shop: Shop) -> None:
    shop = any_shop
    tags = shop.sandbox.world.tag_groups[0].tags
    one = shop.befriend("one", tag_ids=[tags[0].id], remark="老备注")
    shop.befriend("two")
    await shop.sync()
    await shop.write(
        follow_user_tag.insert().values(
            userid="lina", external_userid=one, tag_id="personal:老客", tag_name="老客", type=2
        )
    )
    pair = shop.sandbox.world.pairs["lina", one]
    pair.remark, pair.tag_ids, pair.remark_mobiles = "新备注", [tags[1].id], ["13800136620"]
    shop.sandbox.world.get_customer(one).name = "改名了"
    progress = (await shop.sync())["contacts"].progress
    assert (progress.done, progress.added, progress.changed) == (2, 0, 1)
    assert [row.remark for row in await shop.rows(follow_user, follow_user.c.external_userid == one)] == ["新备注"]
    # A personal tag is never in a batch: it stays.
    assert {row.tag_name for row in await shop.rows(follow_user_tag)} == {"门店", "老客"}
    assert "改名了" in {row.name for row in await shop.rows(person)}
    assert await shop.rows(missed_callback) == []


async def test_a_run_that_was_cut_off_goes_on_at_its_cursor(shop: Shop) -> None:
    del shop.sandbox.world.members["wuhao"]
    for number in range(450):
        shop.befriend(f"c{number}")
    endpoint = "externalcontact/batch/get_by_user"
    shop.sandbox.faults.fail_next("externalcontact/get_follow_user_list", 48002)
    first = (await shop.sync("contacts"))["contacts"]
    assert first.error is not None
    assert len(await shop.rows(sync_run)) == 1

    # An administrator takes the right away, and gives it back.
    answered = 0
    take = shop.sandbox.faults.take_errcode

    def refuse(path: str) -> int | None:
        nonlocal answered
        answered += path == endpoint
        return 48002 if path == endpoint and answered == 3 else take(path)

    shop.sandbox.faults.take_errcode = refuse  # type: ignore[method-assign]
    second = (await shop.sync("contacts"))["contacts"]
    assert second.error is not None
    assert second.progress.done == 200
    parts = await shop.rows(sync_part)
    assert (parts[0].is_over, parts[0].done, bool(parts[0].cursor)) == (False, 200, True)
    shop.clock.advance(hours=0.1)
    third = (await shop.sync("contacts"))["contacts"]
    assert third.error is None
    assert (third.progress.done, third.progress.added) == (450, 450)
    assert answered == 3 + 3  # two pages and the refusal, then the three that were left
    assert await shop.rows(sync_part) == []
    assert [row.state for row in await shop.rows(sync_run)] == ["done"]


async def test_a_member_out_of_range_ends_nothing_and_colleagues_of_other_corps_are_known_as_such(shop: Shop) -> None:
    shop.sandbox.add_wechat_user("buyer", "张采购", corp_name="青禾商贸")
    colleague, customer = shop.befriend("buyer"), shop.befriend("one", "WuHao")
    await shop.sync()
    (row,) = await shop.rows(external_contact, external_contact.c.external_userid == colleague)
    assert (row.type, row.corp_name, row.external_userid[:2]) == (2, "青禾商贸", "wo")
    shop.sandbox.put_in_range("WuHao", False)
    shop.clock.advance(hours=1)
    outcome = (await shop.sync(full=True))["contacts"]
    assert (outcome.error, outcome.progress.ended) == (None, 0)
    follows = {row.external_userid: row.ended_by for row in await shop.rows(follow_user)}
    assert follows == {colleague: "", customer: ""}
    shop.sandbox.put_in_range("WuHao", True)
    shop.clock.advance(hours=1)
    await shop.sync(full=True)
    assert not await shop.rows(missed_callback)
