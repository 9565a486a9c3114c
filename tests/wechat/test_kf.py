"""Customer service: read once, welcomed once, answered by keyword within WeCom's limits, else handed to people."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from scrm.content.media import store as media
from scrm.content.media.copies import MESSAGE
from scrm.content.media.library import add_original
from scrm.events import event
from scrm.profiles import timeline
from scrm.profiles.models import external_contact, identity, person
from scrm.sop.models import send
from scrm.wechat import store
from scrm.wechat.keywords import Reply, find_reply, fold
from scrm.wechat.kf_sync import keep_page, poll_accounts
from scrm.wechat.models import kf_account, kf_message, kf_visitor
from scrm.wecom.kf import KfMessage, MessagePage
from tests.content.media.test_library import PNG
from tests.fakes import wecom as fake
from tests.fakes.deaths import killed_after, killed_before, revive
from tests.fakes.kf import KF, FakeKf
from tests.world import XIAOMAN, World

VISITOR = "wmVisitor000000000000000000000"


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """SQLite, and PostgreSQL where much is written in one transaction."""
    return str(request.getfixturevalue(getattr(request, "param", "sqlite_url")))


@pytest.fixture
async def kf(world: World) -> FakeKf:
    """An account with a welcome, and a library with two keywords."""
    now = world.clock.now()

    def prepare(conn: Any) -> None:
        store.ensure_account(conn, KF, now=now)
        store.change_account(conn, KF, welcome="您好，这里是晴屿美妆，请问有什么可以帮您？")
        store.save_reply(conn, fold("退货"), "contains", "7 天无理由，运费我们出。", "both", now=now)
        store.save_reply(conn, fold("地址"), "exact", "上海市徐汇区某路 1 号。", "kf", now=now)

    await world.services.db.write(prepare)
    return FakeKf(world.wecom, world.clock.now)


_tokens = itertools.count()


async def tell(world: World, token: str = "") -> None:
    token = token or f"fresh-{next(_tokens)}"  # WeCom makes a new one for each event
    created_at = int(world.clock.now().timestamp())
    xml = (
        f"<xml><ToUserName>{fake.CORP_ID}</ToUserName><CreateTime>{created_at}</CreateTime><MsgType>event</MsgType>"
        f"<Event>kf_msg_or_event</Event><Token>{token}</Token><OpenKfId>{KF}</OpenKfId></xml>"
    )
    assert (await world.tell(xml)).status == 200
    await world.settle()


async def sends(world: World) -> dict[str, str]:
    return {row.kind: row.outcome for row in await world.rows(send)}


async def test_who_enters_is_welcomed_once_within_the_life_of_the_code(world: World, kf: FakeKf) -> None:
    kf.enter(VISITOR, "code-1", scene="poster")
    await tell(world)
    await tell(world, "the same again")
    assert kf.said == [("code-1", "您好，这里是晴屿美妆，请问有什么可以帮您？")]
    assert await sends(world) == {"kf_welcome": "sent"}
    (visitor,) = await world.rows(kf_visitor)
    assert visitor.scene == "poster"
    assert len(await world.rows(event, event.c.name == "kf.entered")) == 1


async def test_a_code_of_half_a_minute_ago_is_left_alone(world: World, kf: FakeKf) -> None:
    kf.enter(VISITOR, "code-1")
    world.clock.advance(seconds=30)
    await tell(world)
    assert kf.said == []
    assert world.wecom.called("kf/send_msg_on_event") == []


@pytest.mark.parametrize("database_url", ["sqlite_url", "postgresql_url"], indirect=True)
async def test_a_keyword_is_answered_once_and_what_nobody_prepared_goes_to_people(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "我想 退 货 可以吗")
    await tell(world)
    assert kf.said == [(VISITOR, "7 天无理由，运费我们出。")]
    kf.say(VISITOR, "你们地址在哪")  # exact does not fit
    await tell(world)
    assert len(kf.said) == 1
    assert kf.states[VISITOR] == 2
    kf.say(VISITOR, "退货")
    await tell(world)
    assert len(kf.said) == 1  # people have it now


SHOWN = (
    ("image", {"media_id": "M1"}, "〔图片〕"),
    ("link", {"title": "我的订单", "url": "https://x.test"}, "〔链接〕我的订单"),
    ("miniprogram", {"title": "晴屿商城", "appid": "wx1"}, "〔小程序〕晴屿商城"),
    ("location", {"name": "人民广场", "latitude": 31.2, "longitude": 121.4}, "〔位置〕人民广场"),
    ("hologram", {"media_id": "M2"}, "〔其他消息〕"),
)


async def test_what_is_no_text_stands_on_the_timeline_in_words_and_goes_to_people(world: World, kf: FakeKf) -> None:
    for msgtype, content, _ in SHOWN:
        kf.show(VISITOR, msgtype, content)
    await tell(world)
    told = [row.facts["text"] for row in await world.rows(event, event.c.name == "kf.message")]
    assert sorted(told) == sorted(words for _, _, words in SHOWN)
    assert kf.said == []
    assert kf.states[VISITOR] == 2
    assert timeline.tell("kf.message", {"text": told[0]}, "").title == "在微信客服里说"


async def test_an_answer_carries_a_link_a_mini_program_or_a_picture(world: World, kf: FakeKf) -> None:
    now = world.clock.now()
    picture = await add_original(world.services, "地图.png", PNG, added_by="lina")
    living = {"media_id": "MEDIA", "made_at": now, "renew_at": None, "expires_at": now + timedelta(days=3)}
    await world.services.db.write(media.save_copy, picture, MESSAGE, **living)
    link = {"kind": "link", "title": "退货流程", "url": "https://crm.example.test/return"}
    mini = {"kind": "miniprogram", "title": "去商城", "appid": "wx0123456789abcdef", "pagepath": "pages/index.html"}

    def prepare(conn: Any) -> None:
        store.save_reply(conn, fold("退货"), "contains", "7 天无理由。", "both", attachment=link, now=now)
        image = {"kind": "image", "sha256": picture}
        store.save_reply(conn, fold("地址"), "exact", "在这里：", "kf", attachment=image, now=now)
        store.change_account(conn, KF, attachment=mini)

    await world.services.db.write(prepare)
    kf.enter(VISITOR, code="WC1")
    kf.say(VISITOR, "怎么退货")
    await tell(world)
    assert kf.said == [
        ("WC1", "您好，这里是晴屿美妆，请问有什么可以帮您？ [去商城](pages/index.html)"),
        (VISITOR, "7 天无理由。 [退货流程](https://crm.example.test/return)"),
    ]
    world.clock.advance(seconds=1)
    kf.say(VISITOR, "地址")
    await tell(world)
    assert kf.said[2:] == [(VISITOR, "在这里："), (VISITOR, "image MEDIA")]
    # Both took a turn; with one turn left the words go, and the picture does not.
    (visitor,) = await world.rows(kf_visitor)
    assert visitor.sent_since == 2
    await world.services.db.write(store.change_visitor, KF, VISITOR, sent_since=4)
    kf.messages.append({**kf.messages[-1], "msgid": "once more"})
    await tell(world)
    assert kf.said[4:] == [(VISITOR, "在这里：")]
    outcomes = [row.outcome for row in await world.rows(send, send.c.kind == "kf_reply")]
    assert sorted(outcomes) == ["none", "sent", "sent", "sent", "sent"]


async def test_the_sixth_answer_is_not_even_tried_until_the_customer_speaks_again(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "退货")
    await tell(world)
    await world.services.db.write(store.change_visitor, KF, VISITOR, sent_since=5)
    kf.messages.append({**kf.messages[-1], "msgid": "of the same moment"})
    await tell(world)
    assert len(kf.said) == 1
    assert {row.outcome: row.reason for row in await world.rows(send)}["none"].startswith(
        "客户发来消息后已经回复了 5 条"
    )
    world.clock.advance(seconds=1)
    kf.say(VISITOR, "退货")
    await tell(world)
    assert len(kf.said) == 2


async def test_after_48_hours_nothing_is_sent(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "退货")
    await tell(world)
    later = world.clock.now() + timedelta(hours=48, seconds=1)
    refused = await world.services.db.write(store.take_turn, KF, VISITOR, now=later)
    assert "48 小时" in refused


async def test_history_of_days_ago_is_kept_and_not_answered(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "退货")
    world.clock.advance(days=2)
    await tell(world)
    assert len(await world.rows(kf_message)) == 1
    assert kf.said == []


async def test_pages_are_read_to_the_end_whatever_the_token_says_and_the_cursor_stays(world: World, kf: FakeKf) -> None:
    kf.page = 3
    for number in range(8):
        kf.say(f"{VISITOR}{number}", "在吗")
    await tell(world, "old token")
    assert len(await world.rows(kf_message)) == 8
    (account,) = await world.rows(kf_account)
    assert account.cursor == "8"
    world.clock.advance(minutes=5)
    kf.say(VISITOR, "退货")
    await poll_accounts(world.services)
    await world.settle()
    assert kf.said == [(VISITOR, "7 天无理由，运费我们出。")]


async def test_a_page_that_comes_twice_is_one_page_and_moves_nothing_back(world: World, kf: FakeKf) -> None:
    now = world.clock.now()
    message = KfMessage("m1", KF, VISITOR, now, 3, "text", content={"content": "退货"})
    page = MessagePage([message, message], "5", has_more=False)
    assert await world.services.db.write(keep_page, KF, page, "", now) == 1
    assert await world.services.db.write(keep_page, KF, page, "", now) == 0
    await world.settle()


async def test_a_kill_between_call_and_outcome_says_it_once(world: World, kf: FakeKf) -> None:
    answered = kf._send

    def lost(body: dict[str, Any]) -> dict[str, Any]:
        answered(body)
        return {"errcode": -1, "errmsg": "system busy"}

    world.wecom.say("kf/send_msg", lost)
    kf.say(VISITOR, "退货")
    await tell(world)
    await world.pass_time(seconds=2)
    assert len(kf.said) == 1
    assert await sends(world) == {"kf_reply": "sent"}


async def test_what_wechat_could_not_deliver_is_failed_in_the_ledger(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "退货")
    await tell(world)
    (msgid,) = kf.msgids
    kf.tell("msg_send_fail", VISITOR, fail_msgid=msgid, fail_type=10)
    await tell(world)
    (row,) = await world.rows(send)
    assert (row.outcome, row.reason) == ("failed", "微信没有送达：用户拒收")


async def test_a_visitor_is_the_person_whom_the_unionid_and_the_contact_mean(world: World, kf: FakeKf) -> None:
    await world.add()
    kf.say(XIAOMAN, "在吗")
    kf.customers[VISITOR] = {"external_userid": VISITOR, "nickname": "路过", "unionid": "oUnionOfVisitor", "gender": 1}
    kf.say(VISITOR, "在吗")
    await tell(world)
    rows = {row.external_userid: row.person_id for row in await world.rows(kf_visitor)}
    contacts = {row.external_userid: row for row in await world.rows(external_contact)}
    assert rows == {one: contacts[one].person_id for one in (XIAOMAN, VISITOR)}
    assert contacts[VISITOR].name == "路过"
    assert len(await world.rows(person)) == 2
    assert len(await world.rows(identity, identity.c.value == "oUnionOfVisitor")) == 1


@pytest.mark.parametrize("database_url", ["sqlite_url", "postgresql_url"], indirect=True)
async def test_a_message_that_no_database_can_keep_does_not_stop_the_next(world: World, kf: FakeKf) -> None:
    kf.say(VISITOR, "在\0吗")
    kf.tell("servicer_status_change", "", status={"odd\0": ["\0"]})
    kf.say(VISITOR, "退货")
    await tell(world)
    assert len(await world.rows(kf_message)) == 3
    assert kf.states.get(VISITOR) == 2 or kf.said


LIBRARY = (
    Reply(1, fold("退货"), "contains", "一"),
    Reply(2, fold("退货运费"), "contains", "二"),
    Reply(3, fold("退货 地址"), "exact", "三"),
    Reply(4, "", "contains", "空关键词"),
    Reply(5, fold("发票"), "exact", "  "),
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("我要退货", 1),
        ("退货运费谁出", 2),
        ("退货地址", 3),
        ("ＶＩＰ想退　货", 1),
        ("", None),
        ("   ", None),
        ("发票", None),
        ("你好", None),
    ],
)
def test_the_most_particular_keyword_answers_and_nothing_unknown_does(text: str, wanted: int | None) -> None:
    found = find_reply(LIBRARY, text)
    assert (found.id if found else None) == wanted


@pytest.mark.parametrize(("killed", "welcome"), [(killed_before, "sent"), (killed_after, "unknown")])
async def test_killed_around_a_call_each_thing_is_said_once_and_who_has_no_answer_is_handed_on(
    world: World, kf: FakeKf, monkeypatch: pytest.MonkeyPatch, killed: Any, welcome: str
) -> None:
    asks = f"{VISITOR}2"
    kf.enter(VISITOR, "code-1", scene="poster")
    with killed(monkeypatch, "kf/send_msg_on_event"):
        await tell(world)
    kf.say(VISITOR, "退货")
    with killed(monkeypatch, "kf/send_msg"):
        await tell(world)
    kf.say(asks, "在吗")
    with killed(monkeypatch, "kf/service_state/trans"):
        await tell(world)
    reached = killed is killed_after
    assert (len(kf.said), kf.states) == ((2, {asks: 2}) if reached else (0, {}))
    await revive(world.services)
    await world.pass_time(seconds=5)
    assert sorted(text for _, text in kf.said) == [
        "7 天无理由，运费我们出。",
        "您好，这里是晴屿美妆，请问有什么可以帮您？",
    ]
    assert kf.states == {asks: 2}
    # WeCom knows a msgid that comes twice; of a code that is spent nobody can tell who has used it.
    assert await sends(world) == {"kf_welcome": welcome, "kf_reply": "sent"}
    assert len(world.wecom.called("kf/service_state/trans")) == 1


async def test_killed_after_a_call_and_people_have_taken_over_nothing_is_said_again_and_the_ledger_says_it_is_unknown(
    world: World, kf: FakeKf, monkeypatch: pytest.MonkeyPatch
) -> None:
    kf.say(VISITOR, "退货")
    with killed_after(monkeypatch, "kf/send_msg"):
        await tell(world)
    assert await sends(world) == {"kf_reply": "intent"}
    kf.states[VISITOR] = 3
    await revive(world.services)
    await world.pass_time(seconds=5)
    assert len(kf.said) == 1
    assert await sends(world) == {"kf_reply": "unknown"}
