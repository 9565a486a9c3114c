"""The world changes while WeCom's answer is on its way: what an event then tells is fetched anew, never swallowed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from scrm.contact_ways.models import acquisition_quota
from scrm.group_chats.models import group_chat
from scrm.profiles.models import corp_tag, follow_user, member
from scrm.wechat.models import kf_account
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.waiting import eventually
from tests.world import XIAOMAN, World

Answer = Callable[[str], dict[str, Any]]
GROUP = "wrTEST0000000000000000000001"


def contact(words: str) -> dict[str, Any]:
    follow = {"userid": "lina", "remark": words, "createtime": 1772416800, "add_way": 1, "tags": []}
    return {"external_contact": {"external_userid": XIAOMAN, "name": "小满", "type": 1}, "follow_user": [follow]}


def group(words: str) -> dict[str, Any]:
    versions = {"a": "1" * 32, "b": "2" * 32}
    return {
        "group_chat": {
            "chat_id": GROUP, "name": words, "owner": "lina", "create_time": 1772416000, "notice": "",
            "member_list": [{"userid": "lina", "type": 1, "join_time": 1772416000, "join_scene": 1}],
            "member_version": versions[words],
        }
    }  # fmt: skip


# The event, the call that it asks for, what is answered, and where the answer ends up.
CASES: dict[str, tuple[dict[str, str], str, Answer, Any, str]] = {
    "edited contact": (
        {"event": "change_external_contact", "change_type": "edit_external_contact", "UserID": "lina",
         "ExternalUserID": XIAOMAN},
        "externalcontact/get", contact, follow_user, "remark",
    ),
    "customer group": (
        {"event": "change_external_chat", "change_type": "update", "ChatId": GROUP, "UpdateDetail": "change_name"},
        "externalcontact/groupchat/get", group, group_chat, "name",
    ),
    "tag library": (
        {"event": "change_external_tag", "change_type": "update", "Id": "etTag", "TagType": "tag"},
        "externalcontact/get_corp_tag_list",
        lambda words: {"tag_group": [
            {"group_id": "etG", "group_name": "来源", "order": 1, "tag": [{"id": "etTag", "name": words, "order": 1}]}
        ]},
        corp_tag, "tag_name",
    ),
    "member": (
        {"event": "change_contact", "change_type": "update_user", "UserID": "lina"},
        "user/get", lambda words: {"userid": "lina", "name": words, "status": 1}, member, "name",
    ),
    "customer service account": (
        {"event": "kf_account_auth_change", "change_type": "", "AuthAddOpenKfId": "wkA"},
        "kf/account/list",
        lambda words: {"account_list": [{"open_kfid": "wkA", "name": words, "avatar": "", "manage_privilege": True}]},
        kf_account, "name",
    ),
    "acquisition balance": (
        {"event": "customer_acquisition", "change_type": "balance_low"},
        "externalcontact/customer_acquisition_quota",
        lambda words: {"total": 100, "balance": {"a": 7, "b": 5}[words], "quota_list": []},
        acquisition_quota, "balance",
    ),
}  # fmt: skip


async def tell(world: World, fields: dict[str, str], number: int) -> None:
    more = {key: value for key, value in fields.items() if key not in ("event", "change_type")}
    created_at = int(world.clock.now().timestamp()) + number  # two events, not one told twice
    xml = fake.event_xml(fields["change_type"], created_at=created_at, event=fields["event"], **more)
    assert (await world.tell(xml)).status == 200


@pytest.mark.parametrize("case", CASES)
async def test_an_event_that_comes_while_its_fetch_is_under_way_is_fetched_anew(world: World, case: str) -> None:
    fields, path, answer, table, column = CASES[case]
    now = {"words": "a"}
    world.wecom.always(path, lambda body: answer(now["words"]))
    if case == "edited contact":
        await world.add(WelcomeCode="")

    async def asked(times: int) -> bool:
        return len(world.wecom.called(path)) >= times

    before = len(world.wecom.called(path))
    world.wecom.held[path] = asyncio.Event()
    await tell(world, fields, 1)
    first = asyncio.create_task(world.services.worker.drain())
    # The fetch begins when its seconds are over; its answer is made, and on its way.
    for _ in range(8):
        if await asked(before + 1):
            break
        await asyncio.sleep(0.05)
        world.clock.advance(seconds=2)
        if first.done():
            first = asyncio.create_task(world.services.worker.drain())
    await eventually(lambda: asked(before + 1))
    now["words"] = "b"
    await tell(world, fields, 2)
    second = asyncio.create_task(world.services.worker.drain())
    await asyncio.sleep(0.1)
    world.wecom.held.pop(path).set()
    await asyncio.gather(first, second)
    await world.pass_time(seconds=40)
    (row,) = await world.rows(table)
    assert getattr(row, column) == answer_in(answer("b"), column)
    assert len(world.wecom.called(path)) > before + 1
    assert not await world.rows(work_item, work_item.c.state == 2)


def answer_in(told: Any, column: str) -> Any:
    """What the second answer said."""
    return told["balance"] if column == "balance" else "b"
