"""剧本画板: what is done on it becomes text, kept at once; what the board cannot read stays as it was written."""

import json
from pathlib import Path as File
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection

from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Definition
from scrm.sop.board import trials
from scrm.sop.board.model import Card, read_board, read_path, write_path
from scrm.sop.board.said import Said
from scrm.sop.board.spots import list_comments
from scrm.sop.life import drafts
from scrm.sop.life import store as lifecycle_store
from scrm.sop.schema import Branch, Channel, Late, Playbook, Split, StartField, Wait
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import Known
from scrm.sop.text.source import read_source
from tests.console.conftest import Page, SignIn, Visitor
from tests.world import World

TEMPLATES = sorted(File("config/playbooks/templates").glob("*.yaml"))
TEXTS = {path.stem: path.read_text("utf-8") for path in TEMPLATES}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


class Board:
    """A draft on its board, as the page's script sees it."""

    def __init__(self, visitor: Visitor, key: str) -> None:
        self.visitor, self.key, self.of = visitor, key, f"/console/playbooks/{key}/board"
        self.show, self.digest = "trigger", ""

    async def post(self, path: str, **values: Any) -> aiohttp.ClientResponse:
        headers = {**self.visitor.cookie, "X-CSRF": self.visitor.csrf, "HX-Request": "true"}
        form = [
            (name, each) for name, value in values.items() for each in (value if isinstance(value, list) else [value])
        ]
        form = [(name.replace("__", "."), str(value)) for name, value in form]
        return await self.visitor.world.client.post(self.of + path, data=aiohttp.FormData(form), headers=headers)

    async def do(self, op: str, status: int = 200, **values: Any) -> Page:
        seen = values.pop("seen", None) or await self.seen()
        response = await self.post("/edit", op=op, seen=seen, show=self.show, **values)
        page = Page(response.status, await response.text())
        assert page.status == status, page.text
        self.digest = digest_in(page)
        return page

    async def seen(self) -> str:
        return self.digest or digest_in(await self.visitor.get(self.of))

    async def text(self) -> str:
        draft = await self.visitor.world.services.db.read(lifecycle_store.find_draft, self.key)
        assert draft is not None
        return str(draft.source)

    async def playbook(self) -> Playbook:
        return parse_playbook(await self.text(), file_name=self.key, known=Known(coupons=("light20", "back20")))

    async def card(self, name: str) -> Card:
        return next(card for card in read_board(await self.text()).cards() if card.id == name)

    async def put(self, name: str, field: str, status: int = 200, **values: Any) -> Page:
        at = write_path((await self.card(name)).at) if name else ""
        return await self.do("put", status, at=at, field=field, **values)


def digest_in(page: Page) -> str:
    return next((str(found["data-seen"]) for _, found in page.tags if "data-seen" in found), "")


async def draft_of(visitor: Visitor, template: str) -> Board:
    text, now = TEXTS[template], visitor.world.clock.now()
    await visitor.world.services.db.write(lambda conn: drafts.save(conn, template, text, "chenlan", now=now))
    return Board(visitor, template)


@pytest.fixture
async def board(manager: Visitor) -> Board:
    """A playbook that was begun a moment ago."""
    form = {"csrf": manager.csrf, "title": "新客三步"}
    path = "/console/playbooks/new/board"
    response = await manager.world.client.post(path, data=form, headers=manager.cookie, allow_redirects=False)
    return Board(manager, response.headers["Location"].split("/")[3])


async def test_a_new_playbook_is_made_without_a_line_of_text(board: Board) -> None:
    await board.put("", "where", where__key="channel.kind", where__values="直播，门店")
    await board.put("", "reentry", reentry="every", reentry__every="30", reentry__every_unit="d")
    await board.put("", "goal", goal__event="order.paid", goal__within="14", goal__within_unit="d")
    await board.put("", "cap", cap__mode="own", cap__gap="12", cap__gap_unit="h", cap__per_week="3")
    await board.put("", "max_pushes", max_pushes="4")
    await board.put("", "holdout", holdout="5")
    await board.put("", "exit_if", **condition("exit_if", {"any": [{"event": "order.paid"}, {"flag": "optout.promo"}]}))
    await board.put("", "enter_if", **condition("enter_if", {"field": "person.paid_orders", "op": "eq", "value": 0}))
    await board.do("add", kind="T", to="steps", index="1", day="D1")
    await board.put("task", "title", title="问一句用得怎么样")
    await board.put("task", "text", item="content", text="{{ 客户称呼 }}好：\n用得怎么样？  ")
    await board.put("task", "late", late="drop")
    await board.put("task", "ttl", ttl="4", ttl_unit="h")
    await board.put("task", "when", when__mode="day", when__number="1", when__from="10:00", when__to="11：30")
    await board.put("task", "if", **condition("if", {"no_reply": True}))
    await board.do("add", kind="branch", to="steps", index="2")
    await board.do("add", kind="M", to="steps/2/branch/0/steps", day="D3")
    await board.do("add", kind="X", to="steps/2/branch/1/else", day="D3")
    playbook = await board.playbook()
    assert (playbook.title, playbook.trigger.where) == ("新客三步", {"channel.kind": ("直播", "门店")})
    assert (playbook.guards.max_pushes, playbook.holdout) == (4, 0.05)
    task = playbook.step("task")
    assert task is not None
    assert task.content is not None
    assert (task.content.text, task.late, task.condition) == (
        "{{ 客户称呼 }}好：\n用得怎么样？",
        Late.DROP,
        {"no_reply": True},
    )
    assert [step.channel for step in playbook.steps] == [Channel.TASK, Channel.TASK, Channel.MASS, Channel.SYSTEM]
    branch = playbook.parts[2]
    assert isinstance(branch, Branch)
    assert [arm.name for arm in branch.arms] == ["已付款", "其他"]
    page = await board.visitor.get(board.of)
    for words in (
        "可以发布",
        "客户添加了员工（渠道类型为 直播、门店）",
        "14 天内付款",
        "第 3 天",
        "自己的频控，最多主动联系 4 次",
    ):
        assert words in page, words
    response = await board.post("/../publish", csrf=board.visitor.csrf)
    assert response.status == 200
    assert board.key in playbooks_of(board.visitor.world.services).current


def condition(prefix: str, tree: Any) -> dict[str, Any]:
    """What the builder posts."""
    return {f"{prefix}.tree": json.dumps(tree)}


async def test_steps_move_over_days_and_into_arms_with_their_comments(manager: Visitor) -> None:
    board = await draft_of(manager, "pb-02-first-order")
    comments = sorted(each for _, each in list_comments(await board.text()))
    await board.do("move", at="steps/2", to="steps", index="4", day="D1")
    nudge = (await board.playbook()).step("nudge")
    assert nudge is not None
    assert (nudge.when.days, str(nudge.when.window and nudge.when.window.start)) == (1, "09:00:00")
    assert [card.id for card in read_board(await board.text()).series.cards][:4] == [
        "welcome",
        "newcomer",
        "usage",
        "nudge",
    ]
    await board.do("shift", at="steps/3", by="-1")
    await board.do("move", at="steps/2", to="steps", day="D7")
    assert [card.day.key for card in read_board(await board.text()).series.cards] == [
        "D0",
        "D0",
        "D1",
        "D2",
        "D3",
        "D7",
        "D7",
        "D8",
    ]
    await board.do("add", kind="split", to="steps", index="2")
    await board.do("move", at="steps/3", to="steps/2/split/1/steps", index="0")
    split = next(part for part in (await board.playbook()).parts if isinstance(part, Split))
    assert [len(arm.parts) for arm in split.arms] == [0, 1]
    assert sorted(each for _, each in list_comments(await board.text())) == comments
    refused = await board.do("move", 422, at="steps/2", to="steps/2/split/0/steps", index="0")
    assert "它自己" in refused.text


async def test_a_copy_has_names_of_its_own_and_what_is_removed_is_gone(manager: Visitor) -> None:
    board = await draft_of(manager, "pb-14-dormant")
    before = await board.text()
    await board.do("copy", at="steps/1")
    ids = [card.id for card in read_board(await board.text()).cards()]
    assert len(ids) == len(set(ids))
    assert {"kind-2", "repair-2", "light-hint-2"} <= set(ids)
    await board.do("remove", at="steps/2")
    assert await board.text() == before
    await board.do("remove_arm", at="steps/1/branch/1")
    branch = (await board.playbook()).parts[1]
    assert isinstance(branch, Branch)
    assert [arm.name for arm in branch.arms] == ["有过售后", "看重优惠", "其他老客"]


async def test_a_step_asks_for_fields_that_are_ticked(board: Board) -> None:
    def define(conn: Connection) -> None:
        for said in (Definition("肤质", "text", key="skin"), Definition("预算", "money", key="budget")):
            custom_fields.define(conn, "person", said, board.visitor.world.clock.now())

    await board.visitor.world.services.db.write(define)
    board.show = "steps/0"
    page = await board.put("hello", "form", form=["skin", "budget"])
    assert "顺便问：肤质、预算" in page
    assert read_source(await board.text()).plain()["steps"][0]["form"] == ["skin", "budget"]
    await board.put("hello", "form")
    assert "form" not in read_source(await board.text()).plain()["steps"][0]


async def test_waits_variants_attachments_and_acts_are_built_by_hand(board: Board) -> None:
    await board.do("add", kind="wait", to="steps", index="1")
    await board.put("wait", "wait", wait__event="order.delivered", wait__timeout="10", wait__timeout_unit="d")
    await board.put("wait", "on_timeout", wait__on_timeout="steps")
    await board.do("add", kind="T", to="steps/1/wait/on_timeout", day="D1")
    await board.do("add_item", at="steps/0", field="variant")
    await board.put("hello", "share", item="content/variants/0", share="70")
    await board.put("hello", "text", item="content/variants/1", text="另一种说法")
    await board.do("add_item", at="", field="coupon")
    coupon = f"{board.key}-c1"
    await board.put("", "coupon", key=coupon, title="回礼券", amount="9.9", threshold="", valid="3", valid_unit="d")
    await board.do("add_item", at="steps/0", field="attachment", item="content/variants/1", kind="coupon", value=coupon)
    await board.do("add", kind="X", to="steps", index="2", day="D2")
    await board.do("add_item", at="steps/2", field="act", act="points")
    await board.do("put", at="steps/2", field="act", item="do/1", act="points", value="50")
    wrong = await board.do("put", 422, at="steps/2", field="act", item="do/1", act="points", value="很多")
    assert "积分要写整数" in wrong.text
    playbook = await board.playbook()
    wait = playbook.parts[1]
    assert isinstance(wait, Wait)
    assert (wait.event, wait.timeout.days, len(wait.timed_out)) == ("order.delivered", 10, 1)
    hello = playbook.step("hello")
    assert hello is not None
    assert hello.content is not None
    assert [(each.share, each.content.text[:2]) for each in hello.content.variants] == [(0.7, "{{"), (0.3, "另一")]
    assert hello.content.variants[1].content.attachments == ({"coupon": coupon},)
    assert [spec.face_fen for spec in playbook.coupons] == [990]
    act = playbook.step("act")
    assert act is not None
    assert act.act == ({"add_tag": "待跟进"}, {"points": 50})
    await board.do("remove_item", at="steps/0", item="content/variants/0")
    assert (await board.card("hello")).data["content"] == {"text": "另一种说法", "attachments": [{"coupon": coupon}]}
    await board.do("add_item", at="steps/0", field="attachment", item="content", kind="miniprogram")
    # The second attachment has its controls too.
    assert 'name="program.appid"' in (await board.visitor.get(f"{board.of}?show=steps/0")).html
    program = {"appid": "wx0123456789abcdef", "title": "会员中心", "page": "pages/me.html", "picture": "封面.png"}
    said = {f"program__{key}": value for key, value in program.items()}
    await board.put("hello", "attachment", item="content/attachments/1", kind="miniprogram", **said)
    assert (await board.card("hello")).data["content"]["attachments"] == [{"coupon": coupon}, {"miniprogram": program}]


async def test_events_are_narrowed_and_coupons_of_every_kind_are_made(board: Board) -> None:
    await board.do("add", kind="wait", to="steps", index="1")
    await board.put("wait", "wait_where", where__key="channel", where__values="taobao，jd")
    await board.put("", "goal_where", where__key="channel", where__values="taobao")
    page = await board.visitor.get(f"{board.of}?show=steps/1")
    assert 'value="taobao，jd"' in page.html
    await board.do("add_item", at="", field="coupon")
    key = f"{board.key}-c1"
    form = {
        "key": key,
        "title": "礼",
        "threshold": "",
        "valid": "7",
        "valid_unit": "d",
        "percent_off": "",
        "amount": "",
    }
    made = {"amount": (1000, 0), "percent": (0, 15), "gift": (0, 0), "freight": (0, 0)}
    for benefit, (face, off) in made.items():
        await board.put("", "coupon", **form, kind="pool", benefit=benefit)
        playbook = await board.playbook()
        (spec,) = playbook.coupons
        assert (spec.benefit, spec.face_fen, spec.percent_off, spec.kind) == (benefit, face, off, "pool")
    await board.put("", "coupon", **form, kind="link", benefit="gift", url="https://shop.example.com/gift")
    playbook = await board.playbook()
    (spec,), goal, wait = playbook.coupons, playbook.goal, playbook.parts[1]
    assert (spec.kind, spec.url) == ("link", "https://shop.example.com/gift")
    assert isinstance(wait, Wait)
    assert goal is not None
    assert (dict(wait.where), dict(goal.where)) == ({"channel": ("taobao", "jd")}, {"channel": ("taobao",)})
    await board.put("wait", "wait_where", where__key="channel", where__values="")
    assert "where" not in (await board.card("wait")).data


async def test_what_is_asked_before_a_start_by_hand_is_made_on_the_board_and_can_be_said(board: Board) -> None:
    await board.put("", "trigger", event="manual.started")
    await board.do("add_item", at="", field="ask")
    await board.do("add_item", at="", field="ask")
    form = {"key": "budget", "title": "预算", "type": "number", "required": "1"}
    await board.put("", "ask", item="trigger/ask/0", **form)
    await board.put("", "ask", item="trigger/ask/1", key="room", title="房间", type="choice")
    await board.put("", "ask", item="trigger/ask/1", key="room", title="房间", type="choice", options="客厅，卧室")
    await board.put("", "ask", 422, item="trigger/ask/1", key="room", title="", type="choice")
    playbook = await board.playbook()
    assert playbook.trigger.ask == (
        StartField("budget", "预算", "number", is_required=True),
        StartField("room", "房间", "choice", ("客厅", "卧室")),
    )
    page = await board.visitor.get(f"{board.of}?show=steps/0")
    assert 'data-insert="事件.room"' in page.html
    await board.put("", "ask", item="trigger/ask/1", key="room", title="房间", type="text")
    for item in (1, 0):
        await board.do("remove_item", at="", item=f"trigger/ask/{item}")
        left = (await board.playbook()).trigger.ask
        assert [field.key for field in left] == ["budget"][:item]


async def test_a_step_that_nobody_has_written_yet_is_told_before_it_is_published(board: Board) -> None:
    await board.do("add", kind="T", to="steps", index="1", day="D3")
    await board.do("add", kind="wait", to="steps", index="2")
    page = await board.visitor.get(board.of)
    assert "话术还是新步骤自带的那句" in page
    assert "最多 3 天" in page
    review = f"/console/playbooks/{board.key}/review"
    assert "“新的员工待办”的话术还是新步骤自带的那句，发布前请写好" in await board.visitor.get(review)
    await board.put("task", "text", item="content", text="用得怎么样？")
    assert "自带的那句" not in await board.visitor.get(review)


async def test_another_channel_takes_what_it_needs_and_leaves_what_it_cannot_have(board: Board) -> None:
    for letter in "MXSIGKWT":  # each from the one before
        await board.do("channel", at="steps/0", channel=letter)
        if letter not in "MGK":  # which would rather not say a name
            await board.playbook()
    assert (await board.card("hello")).data["channel"] == "T"


async def test_what_is_wrong_stands_at_the_card_and_the_control_it_is_about(manager: Visitor) -> None:
    board = await draft_of(manager, "pb-02-first-order")
    board.show = "steps/2"
    page = await board.put("nudge", "text", item="content", text="{{ 客户名 }}好")
    assert "1 处要改" in page
    assert page.html.count("不认识的变量 {{ 客户名 }}") == 3  # the card, the control, the preview
    refused = await board.put("nudge", "when", 422, when__mode="day", when__number="3", when__from="10:00", when__to="")
    assert "时间段要写开始和结束" in refused.text
    page = await board.put("nudge", "text", item="content", text="好")
    assert "可以发布" in page


async def test_nobody_overwrites_what_another_has_written(board: Board, sign_in: SignIn) -> None:
    seen = await board.seen()
    other = Board(await sign_in("lina", "李娜", "manager"), board.key)
    await other.put("", "title", title="李娜改的")
    await board.visitor.send(f"/console/playbooks/{board.key}/lock")
    page = await board.do("put", 409, seen=seen, at="", field="title", title="陈岚改的")
    assert "lina刚刚改了这份草稿，你的这一步没有保存" in page.text
    assert "title: 李娜改的" in await board.text()


async def test_a_step_is_taken_back_to_the_letter(manager: Visitor) -> None:
    board = await draft_of(manager, "pb-02-first-order")
    before = await board.text()
    await board.do("remove", at="steps/3")
    await board.do("restore", source=before.replace("\n", "\r\n"))
    assert await board.text() == before


async def test_the_preview_speaks_to_the_chosen_customer_and_says_when(manager: Visitor, world: World) -> None:
    await world.add()
    board = await draft_of(manager, "pb-02-first-order")
    found = await manager.get(f"{board.of}/customers?q=满")
    person = next(str(each["data-person"]) for _, each in found.tags if "data-person" in each)
    page = await manager.get(f"{board.of}/panel?show=steps/2&person={person}")
    assert "按 小满 预览 · 现在进入的话" in page
    assert "您好，我是刚加您的Lina。" in page
    sample = await manager.get(f"{board.of}?show=steps/4")
    assert "按示例客户预览" in sample
    assert "20 元新人券" in sample
    await board.put("coupon", "text", item="content", text="{{ 最近商品 }}用完了吗")
    assert "缺少变量：最近商品" in await manager.get(f"{board.of}/panel?show=steps/4&person={person}")


async def test_the_tests_of_a_draft_are_played_beside_it(manager: Visitor) -> None:
    board = await draft_of(manager, "pb-02-first-order")
    text = await board.text()
    tests = text.index("tests:")
    shortened = text[:tests] + text[tests : text.index("  - name: 提醒已经在导购手里")]
    await board.do("restore", source=shortened.replace("run: goal", "run: done"))
    response = await board.post("/tests", show="tests")
    page = Page(response.status, await response.text())
    assert "通过 一直没下单" in page
    assert "没通过 券提醒之前下了单" in page
    assert "run 期望 done，实际 goal" in page
    assert "测试 2 1 个没通过" in page  # where the board's foot leads to them
    before = await manager.get(f"{board.of}/tests")
    assert "1 个没通过" in before
    assert "run 期望 done，实际 goal" in before
    assert f"{board.of}/tests" in (await manager.get(f"/console/playbooks/{board.key}/review")).html


async def test_a_test_is_written_played_and_agreed_with_in_a_form(board: Board) -> None:
    await board.do("add_item", at="", field="test", kind="2026-03-09")
    form = {
        "item": "tests/0",
        "name": "加了就付款",
        "given__rows": "3",
        "given__0__what": "contact.added",
        "given__0__at": "2026-03-09T10:00",
        "given__1__what": "order.paid",
        "given__1__at": "2026-03-09T11:00",
        "given__2__what": "",
        "answers": "after",
        "after": "10",
        "after_unit": "m",
        "until": "2026-03-12T10:00",
        "expect__keys": "sent",
        "run": "done",
        "expect__add": "",
    }
    await board.do("put", at="", field="test", **form)
    (test,) = read_source(await board.text()).plain()["tests"]
    assert test["given"] == ["contact.added @2026-03-09T10:00", "order.paid @2026-03-09T11:00"]
    page = Page(200, await (await board.post("/tests", show="tests")).text())
    for words in (
        "1 个没通过",
        "sent 期望 无，实际 hello",
        "run 期望 done，实际 goal",
        "这样才对，按结果改期望",
        "测试没通过 加了就付款",
    ):
        assert words in page, words
    came = next(str(found["data-came"]) for _, found in page.tags if "data-came" in found)
    await board.put("", "test_came", item="tests/0", came=came)
    page = Page(200, await (await board.post("/tests", show="tests")).text())
    assert "都通过" in page
    assert "测试没通过" not in page
    refused = await board.do("put", 422, at="", field="test", **{**form, "given__1__at": ""})
    assert "请写这件事发生在什么时候" in refused
    await board.do("remove_item", at="", item="tests/0")
    assert "tests" not in (await board.text()).replace("tests: []", "")


async def test_what_chance_decides_is_settled_in_a_tests_form(board: Board) -> None:
    await board.do("add", kind="split")
    (split,) = [card for card in read_board(await board.text()).cards() if card.kind == "split"]
    first, second = (arm.name for arm in split.arms)
    board.show = "tests"
    await board.do("add_item", at="", field="test", kind="2026-03-09")
    (test,) = read_source(await board.text()).plain()["tests"]
    form: dict[str, Any] = {
        "item": "tests/0",
        "name": test["name"],
        "given__rows": "1",
        "given__0__what": "contact.added",
        "given__0__at": "2026-03-09T10:00",
        "answers": "after",
        "after": "10",
        "after_unit": "m",
        "until": "2026-03-23T10:00",
        "expect__keys": "sent",
        "arms__ids": split.id,
    }
    page = await board.do("put", at="", field="test", **form, **{f"arms__{split.id}": second})
    (test,) = read_source(await board.text()).plain()["tests"]
    assert test["arms"] == {split.id: second}
    assert f"arms.{split.id}" in [found.get("name") for _, found in page.tags]
    await board.do("put", at="", field="test", **form, **{f"arms__{split.id}": ""}, holdout="yes")
    (test,) = read_source(await board.text()).plain()["tests"]
    assert "arms" not in test
    assert test["holdout"] is True
    assert first != second


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_tests_form_that_nobody_touched_changes_nothing(text: str) -> None:
    for number, test in enumerate(read_source(text).plain().get("tests", [])):
        trial = trials.show(test)
        said = {"name": [trial.name], "until": [trial.until], "answers": [trial.answers], "run": [trial.run]}
        said |= {"after": [trial.after[0]], "after_unit": [trial.after[1]], "given.rows": [str(len(trial.happenings))]}
        for row, each in enumerate(trial.happenings):
            said |= {f"given.{row}.{name}": [getattr(each, name)] for name in ("what", "at", "key", "value", "more")}
        said |= {"arms.ids": list(trial.arms), **{f"arms.{each}": [name] for each, name in trial.arms.items()}}
        said["holdout"] = ["yes"] if trial.holdout else []
        said["expect.keys"] = [wish.key for wish in trial.wishes]
        said |= {f"expect.{wish.key}": list(wish.names) for wish in trial.wishes} | {"expect.more": [trial.more]}
        assert trials.read(Said(said), ("tests", number), test) == [], test["name"]


async def test_a_text_that_is_no_text_is_shown_the_way_to_its_mend(board: Board) -> None:
    await board.do("restore", source="playbook: [\n")
    page = await board.visitor.get(board.of)
    assert "画板读不出这份文本" in page
    assert "到“文本”里修改" in page
    assert (await board.visitor.get("/console/playbooks/nobody/board")).status == 404
    assert (await board.do("fly", 422)).status == 422


async def test_a_template_is_copied_under_a_key_of_its_own(manager: Visitor) -> None:
    await draft_of(manager, "pb-14-dormant")
    form = {"csrf": manager.csrf, "title": "唤醒老客", "template": "pb-14-dormant"}
    path = "/console/playbooks/new/board"
    response = await manager.world.client.post(path, data=form, headers=manager.cookie, allow_redirects=False)
    board = Board(manager, response.headers["Location"].split("/")[3])
    assert board.key == "pb-14-dormant-2"
    assert [comment for _, comment in list_comments(await board.text())]
    page = await manager.get(board.of)
    for words in ("唤醒老客", "有过售后", "看重优惠", "以上都不符合", "第 60 天"):
        assert words in page, words


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_card_of_every_template_has_its_day_and_comes_back_by_its_path(text: str) -> None:
    board, plain = read_board(text), read_source(text).plain()
    for card in board.cards():
        assert read_path(write_path(card.at)) == card.at
        assert card.day.unit or card.kind != "step", card.id
        found: Any = plain
        for part in card.at:
            found = found[part]
        assert card.id == str((found.get("wait") or found).get("id", ""))


async def test_one_writes_at_a_time_and_another_takes_over_with_a_word(board: Board, sign_in: SignIn) -> None:
    await board.put("", "title", title="陈岚改的")
    other = Board(await sign_in("lina", "李娜", "manager"), board.key)
    page = await other.visitor.get(other.of)
    assert "陈岚正在改这个剧本，刚刚还在写" in page
    assert "你的这一步没有保存" in await other.put("", "title", 423, title="李娜改的")
    checked = await other.post("/../edit/check", source="playbook: x\n")
    assert "陈岚正在改这个剧本" in await checked.text()
    assert "title: 陈岚改的" in await board.text()
    await other.visitor.send(f"/console/playbooks/{board.key}/lock", word="价格我来改")
    await other.put("", "title", title="李娜改的")
    refused = await board.put("", "title", 423, title="陈岚又改")
    assert "李娜刚刚接手了这个剧本：“价格我来改”" in refused
    assert "接手来改" in await board.visitor.get(f"/console/playbooks/{board.key}/lock")
    board.visitor.world.clock.advance(minutes=31)
    await board.put("", "title", title="陈岚又改", seen=await other.seen())
    assert "title: 陈岚又改" in await board.text()
    assert "陈岚正在改" in await other.visitor.get(f"/console/playbooks/{board.key}/edit")
    await board.post("/../publish", csrf=board.visitor.csrf)
    assert "正在改" not in await other.visitor.get(other.of)
