"""剧本: read by people who do not read YAML, counted, and stopped with one button."""

import pytest

from scrm.console.playbooks import in_words as reading
from scrm.sop.schema import Playbook
from scrm.sop.text.parse import parse_playbook
from tests.console.conftest import Visitor
from tests.world import ANING, World


async def test_the_list_shows_every_playbook_with_its_trigger(manager: Visitor) -> None:
    page = await manager.get("/console/playbooks")
    for words in ("新客欢迎与首单", "首单关怀", "签收关怀", "客户添加了员工", "订单已签收", "已启用"):
        assert words in page, words


async def test_the_page_tells_the_steps_as_a_story(manager: Visitor) -> None:
    page = await manager.get("/console/playbooks/new-customer")
    for words in (
        "当天",
        "立即",
        "第 3 天",
        "10:00 – 11:30",
        "员工待办",
        "24 小时内未发送就作废",
        "打标签「新客」",
        "券 · 新人券",
    ):
        assert words in page, words
    assert "playbook: new-customer" in page  # the text itself, below


async def test_the_steps_count_what_became_of_those_who_came(manager: Visitor, world: World) -> None:
    await world.add()
    page = await manager.get("/console/playbooks/new-customer")
    assert "已发送 1" in page
    assert "进行中 1" in page
    await world.pass_time(days=3, hours=1, minutes=30)
    assert "已建待办 1 待员工确认 1" in await manager.get("/console/playbooks/new-customer")


async def test_a_paused_playbook_lets_nobody_in_until_it_goes_on(manager: Visitor, world: World) -> None:
    assert (await manager.post("/console/playbooks/new-customer/pause")).status == 303
    await world.add()
    assert world.wecom.called("externalcontact/send_welcome_msg") == []
    page = await manager.get("/console/playbooks/new-customer")
    assert "已暂停" in page
    assert "还没有客户进入" in page
    response = await manager.delete("/console/playbooks/new-customer/pause")
    assert response.headers["HX-Refresh"] == "true"
    await world.add(ANING)
    assert len(world.wecom.called("externalcontact/send_welcome_msg")) == 1


async def test_pausing_twice_says_that_it_is_paused(manager: Visitor) -> None:
    await manager.post("/console/playbooks/new-customer/pause")
    response = await manager.post("/console/playbooks/new-customer/pause")
    assert response.status == 409
    assert "不在运行中" in await response.text()


async def test_an_unknown_playbook_is_a_page_that_says_so(manager: Visitor) -> None:
    page = await manager.get("/console/playbooks/nothing")
    assert page.status == 404
    assert "没有编号为 nothing 的剧本" in page


SOURCE = """
playbook: care
title: 关怀
trigger: {event: contact.added, where: {channel.kind: [直播, 门店]}}
run_key: person
reentry: {every: 90d}
enter_if: %s
exit_if: {any: [{event: order.paid}, {flag: optout.all}]}
goal: {event: order.paid, within: 7d}
steps:
  - id: look
    title: 看看
    at: T0+90m
    channel: T
    late: drop
    ttl: 48h
    content: {text: "{{ 客户称呼 }}好{% if 最近商品 %}，{{ 最近商品 | 默认('它') }}还好吗{% endif %}"}
"""


def care(condition: str = "{field: person.paid_orders, op: gte, value: 1}") -> Playbook:
    return parse_playbook(SOURCE.replace("%s", condition), file_name="care.yaml")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("{field: person.paid_orders, op: eq, value: 0}", "已付款订单数 等于 0"),
        ("{event: order.paid}", "有过“付款”"),
        ("{not: {event: order.paid}}", "不满足（有过“付款”）"),
        (
            "{all: [{event: order.paid}, {field: person.stage, op: eq, value: 首购}]}",
            "有过“付款”，且 客户阶段 等于 首购",
        ),
        (
            "{all: [{any: [{event: order.paid}, {event: order.shipped}]}, {field: person.orders, op: lt, value: 3}]}",
            "（有过“付款”，或 有过“发货”），且 订单数 小于 3",
        ),
    ],
)
def test_conditions_read_as_sentences(condition: str, words: str) -> None:
    playbook = care(condition)
    assert reading.read_condition(playbook.enter_if, playbook) == words


def test_rules_read_as_sentences() -> None:
    playbook = care()
    assert reading.read_trigger(playbook.trigger) == "客户添加了员工（渠道类型为 直播、门店）"
    assert reading.read_reentry(playbook) == "同一位客户 90 天内只进入一次"
    assert reading.read_goal(playbook) == "7 天内付款"
    assert reading.list_exits(playbook) == ["付款", "客户拒绝一切消息"]


def test_a_template_is_shown_with_its_variables_by_name() -> None:
    (step,) = care().steps
    assert step.content is not None
    pieces = list(reading.split_text(step.content.text))
    assert [piece for kind, piece in pieces if kind == "variable"] == ["客户称呼", "最近商品"]
    assert [piece for kind, piece in pieces if kind == "text"] == ["好", "，", "还好吗"]
