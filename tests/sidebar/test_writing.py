"""What a member writes about a customer beside the chat: tags, remark, notes, promises, phones, refusals, stage."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, update

from scrm.events import event
from scrm.privacy.models import privacy_act
from scrm.profiles import notes
from scrm.profiles.models import (
    corp_tag,
    corp_tag_group,
    follow_user,
    follow_user_tag,
    identity,
    person,
    remark_wish,
)
from scrm.profiles.notes import note
from scrm.sop.members.hand_over import hand_over
from scrm.sop.models import task
from tests.fakes.wecom import FakeWeCom
from tests.sidebar.conftest import Member, words
from tests.world import XIAOMAN, World

PAGE = f"/sidebar/contacts/{XIAOMAN}"


@pytest.fixture
async def xiaoman(world: World, lina: Member) -> None:
    await world.add()


async def refused(member: Member, path: str, method: str = "POST", **fields: str) -> tuple[int, str]:
    """What htmx posts, where the server says no."""
    headers = {**member._cookie, "X-CSRF": member.csrf, "HX-Request": "true"}
    response = await member.world.client.request(method, f"{PAGE}/{path}", data=fields, headers=headers)
    return response.status, await response.text()


async def make_library(world: World, exclusive: bool = True) -> None:
    def make(conn: Connection) -> None:
        for number, (group, name) in enumerate(
            (("肤质", "油皮"), ("肤质", "干皮"), ("兴趣", "防晒"), ("兴趣", "口红"))
        ):
            values = {"tag_id": f"et{name}", "tag_name": name, "group_id": f"g{group}", "group_name": group}
            conn.execute(corp_tag.insert().values(**values, sort_order=100 - number))
        if exclusive:
            conn.execute(corp_tag_group.insert().values(group_id="g肤质", is_exclusive=True))

    await world.services.db.write(make)


async def carried(world: World) -> set[str]:
    return {row.tag_name for row in await world.rows(follow_user_tag, follow_user_tag.c.tag_id.like("et%"))}


# Tags -----------------------------------------------------------------------------------------------------------------


async def test_tags_are_put_in_one_tap_and_wecom_hears_of_several_together(
    world: World, lina: Member, xiaoman: None
) -> None:
    await make_library(world)
    sheet = await lina.page(f"{PAGE}/tags", htmx=True)
    assert "肤质 只选一个 油皮 干皮" in words(sheet)
    for tag in ("et防晒", "et口红"):
        html = await lina.press(f"{PAGE}/tags", tag=tag, on="1")
        assert "正在同步到企业微信" in words(html)
    assert "已打上“口红”" in words(html)
    before = len(world.wecom.called("externalcontact/mark_tag"))
    await world.pass_time(seconds=3)
    (call,) = world.wecom.called("externalcontact/mark_tag")[before:]
    assert (call["userid"], sorted(call["add_tag"])) == ("lina", ["et口红", "et防晒"])
    assert await carried(world) >= {"防晒", "口红"}
    chips = await lina.page(f"{PAGE}/tags/chips?look=1", htmx=True)
    assert "正在同步" not in chips
    assert "delay" not in chips, "nothing waits: the page asks no more"
    await lina.press(f"{PAGE}/tags", tag="et口红", on="0")
    await world.pass_time(seconds=3)
    assert "口红" not in await carried(world)


async def test_a_tag_of_an_exclusive_group_takes_the_others_place_and_gives_it_back(
    world: World, lina: Member, xiaoman: None
) -> None:
    await make_library(world)
    await lina.press(f"{PAGE}/tags", tag="et油皮", on="1")
    await world.pass_time(seconds=3)
    html = await lina.press(f"{PAGE}/tags", tag="et干皮", on="1")
    assert "“油皮”换成“干皮”" in words(html)
    assert re.search(r'id="tag-et油皮"[^>]*aria-pressed="false"', html)
    await world.pass_time(seconds=3)
    assert await carried(world) & {"油皮", "干皮"} == {"干皮"}
    call = world.wecom.called("externalcontact/mark_tag")[-1]
    assert (call["add_tag"], call["remove_tag"]) == (["et干皮"], ["et油皮"])
    # Undone before WeCom was told: only the last wish of the group counts.
    await lina.press(f"{PAGE}/tags", tag="et油皮", on="1")
    world.clock.advance(seconds=1)
    await lina.press(f"{PAGE}/tags", tag="et干皮", on="1")
    await world.pass_time(seconds=5)
    assert await carried(world) & {"油皮", "干皮"} == {"干皮"}


async def test_what_wecom_refuses_is_said_and_can_be_tried_again(world: World, lina: Member, xiaoman: None) -> None:
    await make_library(world)
    world.wecom.say("externalcontact/mark_tag", 40144)
    await lina.press(f"{PAGE}/tags", tag="et防晒", on="1")
    await world.pass_time(seconds=3)
    assert "防晒" not in await carried(world)
    page = await lina.page(PAGE)
    assert f"{PAGE}/tags/chips" in page, "the head asks for what is not settled"
    assert "没有同步" in words(await lina.page(f"{PAGE}/tags/chips", htmx=True))
    assert "“防晒”没有同步" in words(await lina.page(f"{PAGE}/tags", htmx=True))
    await lina.press(f"{PAGE}/tags", tag="et防晒", on="1")
    await world.pass_time(seconds=3)
    assert "防晒" in await carried(world)
    assert "tags/chips" not in await lina.page(PAGE)
    assert (await refused(lina, "tags", tag="etGone", on="1"))[0] == 404


async def test_tags_are_searched_and_those_of_others_stand_apart(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"][0]["tags"] = [{"group_name": "个人", "tag_name": "爱喝茶", "type": 2}]
    wecom.contacts[XIAOMAN]["follow_user"].append(
        {"userid": "wanghao", "remark": "满", "createtime": 1772416900, "add_way": 1}
        | {"tags": [{"group_name": "兴趣", "tag_name": "老客", "tag_id": "et老客", "type": 1}]}
    )
    await world.add()
    await make_library(world)
    said = words(await lina.page(f"{PAGE}/tags", htmx=True))
    assert "同事打的：老客" in said
    assert "你的个人标签：爱喝茶" in said
    found = words(await lina.page(f"{PAGE}/tags?q=油", htmx=True))
    assert "油皮" in found
    assert "口红" not in found
    assert "没有找到“香水”" in words(await lina.page(f"{PAGE}/tags?q=香水", htmx=True))


# Stage ----------------------------------------------------------------------------------------------------------------


async def test_the_stage_is_changed_told_and_undone(world: World, lina: Member, xiaoman: None) -> None:
    await world.services.db.write(lambda conn: conn.execute(update(person).values(stage="潜客-未转化")))
    assert "潜客-未转化" in words(await lina.page(f"{PAGE}/stage", htmx=True)), "one that a playbook set"
    html = await lina.press(f"{PAGE}/stage", stage="意向")
    assert "阶段改为“意向”" in words(html)
    (told,) = await world.rows(event, event.c.name == "stage.changed")
    assert (told.userid, told.facts) == ("lina", {"from": "潜客-未转化", "to": "意向"})
    assert "李娜改了客户阶段 潜客-未转化 → 意向" in words(await lina.page(PAGE))
    await lina.press(f"{PAGE}/stage", stage="潜客-未转化")  # the way back, though no setting knows it
    assert {row.stage for row in await world.rows(person)} == {"潜客-未转化"}
    assert (await refused(lina, "stage", stage="随便写的"))[0] == 422


# A form that is sent twice ----------------------------------------------------------------------------------------------


async def test_a_note_and_a_promise_whose_answer_was_lost_are_made_once(
    world: World, lina: Member, xiaoman: None
) -> None:
    for path, given, table in (
        ("notes", {"kind": "chat", "text": "想要 02 色号"}, note),
        ("promises", {"words": "查物流", "day": "2026-05-01"}, task),
    ):
        form = await lina.page(f"{PAGE}/{path}/new", htmx=True)
        (once,) = re.findall(r'name="once" value="([^"]+)"', form)
        for _ in range(2):
            await lina.press(f"{PAGE}/{path}", once=once, **given)
        where = (table.c.kind == "promise",) if table is task else ()
        assert len(await world.rows(table, *where)) == 1, path
        (other,) = re.findall(r'name="once" value="([^"]+)"', await lina.page(f"{PAGE}/{path}/new", htmx=True))
        await lina.press(f"{PAGE}/{path}", once=other, **given)
        assert len(await world.rows(table, *where)) == 2, "the next form makes the next thing"
        # What has to be mended keeps its mark.
        empty = await lina.press(f"{PAGE}/{path}", once=other, **dict.fromkeys(given, ""))
        assert f'name="once" value="{other}"' in empty


# Remark ---------------------------------------------------------------------------------------------------------------


async def test_a_remark_is_kept_goes_to_wecom_and_back_by_undo(world: World, lina: Member, xiaoman: None) -> None:
    html = await lina.press(f"{PAGE}/remark", remark="小满 油皮", description="只用防晒", remark_company="")
    assert "正在写进企业微信…" in words(html)
    assert not world.wecom.called("externalcontact/remark"), "a process that is killed here forgets nothing"
    assert 'hx-get="/sidebar/contacts/' + XIAOMAN + '/remark/state" hx-trigger="load"' in await lina.page(PAGE)
    assert "小满 油皮" in await lina.page(f"{PAGE}/remark", htmx=True)
    await world.settle()
    assert world.wecom.called("externalcontact/remark") == [
        {"userid": "lina", "external_userid": XIAOMAN, "remark": "小满 油皮", "description": "只用防晒"}
    ]
    (row,) = await world.rows(follow_user)
    assert (row.remark, row.description) == ("小满 油皮", "只用防晒")
    assert await world.rows(remark_wish) == []
    assert "正在写进" not in await lina.page(f"{PAGE}/remark/state?look=0", htmx=True)
    assert "小满 油皮 @微信" in words(await lina.page(PAGE))
    await lina.press(f"{PAGE}/remark", remark="小满", description="")
    await world.settle()
    (row,) = await world.rows(follow_user)
    assert (row.remark, row.description) == ("小满", "")


async def test_what_changes_while_wecom_is_away_goes_with_the_next_call(
    world: World, lina: Member, xiaoman: None
) -> None:
    world.wecom.say("externalcontact/remark", -1)
    await lina.press(f"{PAGE}/remark", remark="油皮")
    await world.settle()
    assert "正在写进" in await lina.page(f"{PAGE}/remark/state", htmx=True)
    await lina.press(f"{PAGE}/remark", description="只用防晒")
    await world.pass_time(minutes=10)
    (row,) = await world.rows(follow_user)
    assert (row.remark, row.description) == ("油皮", "只用防晒")


async def test_what_wecom_would_refuse_is_said_and_nothing_is_lost(world: World, lina: Member, xiaoman: None) -> None:
    long = "一" * 21
    html = await lina.press(f"{PAGE}/remark", remark=long)
    assert "备注名最多 20 个字，写了 21 个" in words(html)
    assert long in html, "what was typed is still there"
    assert not world.wecom.called("externalcontact/remark")
    world.wecom.say("externalcontact/remark", 84061)
    await lina.press(f"{PAGE}/remark", remark="新名字")
    await world.settle()
    said = words(await lina.page(f"{PAGE}/remark/state", htmx=True))
    assert "没有写进企业微信：" in said
    assert "新名字" in said
    sheet = await lina.page(f"{PAGE}/remark", htmx=True)
    assert 'role="alert"' in sheet
    assert "新名字" in sheet
    assert {row.remark for row in await world.rows(follow_user)} == {"小满"}
    # Saved once more as it stands, it is tried once more.
    await lina.press(f"{PAGE}/remark", remark="新名字")
    await world.settle()
    assert {row.remark for row in await world.rows(follow_user)} == {"新名字"}


# Notes ----------------------------------------------------------------------------------------------------------------


async def test_a_note_is_written_read_by_colleagues_changed_and_taken_back(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"].append({"userid": "wanghao", "createtime": 1772416900, "add_way": 1})
    await world.add()
    assert "聊完记一句" in words(await lina.page(f"{PAGE}/notes", htmx=True))
    html = await lina.press(f"{PAGE}/notes", kind="call", text="想要 02 色号，\n下周发工资再买")
    assert "李娜 电话 今天" in words(html)
    assert "想要 02 色号" in words(await wanghao.page(f"{PAGE}/notes", htmx=True))
    assert "李娜写了跟进记录（电话）" in words(await wanghao.page(PAGE))
    (note,) = await world.rows(notes.note)
    await lina.press(f"{PAGE}/notes/{note.id}", kind="chat", text="想要 03 色号")
    (told,) = await world.rows(event, event.c.name == "note.added")
    assert told.facts == {"kind": "聊天", "text": "想要 03 色号"}
    assert (await refused(wanghao, f"notes/{note.id}", kind="chat", text="x"))[0] == 403
    html = await lina.press(f"{PAGE}/notes/{note.id}", method="DELETE")
    assert "已删除跟进记录" in words(html)
    assert "03 色号" not in words(await wanghao.page(f"{PAGE}/notes", htmx=True))
    assert "李娜删除了一条跟进记录" in words(await lina.page(PAGE))
    await lina.press(f"{PAGE}/notes/{note.id}/restore")
    assert "想要 03 色号" in words(await wanghao.page(f"{PAGE}/notes", htmx=True))
    world.clock.advance(hours=25)
    said = words(await lina.press(f"{PAGE}/notes/{note.id}", kind="chat", text="太晚"))
    assert "超过 24 小时" in said
    assert (await refused(lina, f"notes/{note.id}", "DELETE"))[0] == 409


async def test_a_note_has_words_but_not_too_many_and_many_notes_are_paged(
    world: World, lina: Member, xiaoman: None
) -> None:
    assert "还没有写内容" in words(await lina.press(f"{PAGE}/notes", kind="call", text="  "))
    html = await lina.press(f"{PAGE}/notes", kind="call", text="长" * 2001)
    assert "写了 2001 个字，最多 2000 个" in words(html)
    assert "长" * 2001 in html
    for number in range(30):
        await lina.press(f"{PAGE}/notes", kind="other", text=f"第 {number} 条")
    first = await lina.page(f"{PAGE}/notes", htmx=True)
    seen = re.findall(r"第 (\d+) 条", first)
    while more := re.search(r'hx-get="([^"]+before=\d+)"', first):
        first = await lina.page(more[1], htmx=True)
        seen += re.findall(r"第 (\d+) 条", first)
    assert seen == [str(number) for number in range(29, -1, -1)]


# Promises -------------------------------------------------------------------------------------------------------------


async def promise(world: World) -> Any:
    (row,) = await world.rows(task, task.c.kind == "promise")
    return row


async def test_a_promise_waits_comes_up_in_time_and_is_kept(world: World, lina: Member, xiaoman: None) -> None:
    form = await lina.page(f"{PAGE}/promises/new", htmx=True)
    day = re.findall(r'name="day" value="(2026-\d\d-\d\d)"', form)[1]  # tomorrow
    html = await lina.press(f"{PAGE}/promises", words="给她找到 02 色号", day=day, clock="16:00")
    assert "已记下约定" in words(html)
    row = await promise(world)
    assert row.due_at - row.open_at == timedelta(minutes=30)
    (told,) = await world.rows(event, event.c.name == "staff.promised")
    assert (told.facts["title"], told.key) == ("给她找到 02 色号", f"promise:{row.id}")
    assert "未到时间" in words(html)
    await world.pass_time(seconds=(row.open_at - world.clock.now()).total_seconds() + 600)
    page = words(await lina.page(PAGE))
    assert "你答应客户的事" in page
    assert "给她找到 02 色号 完成" in page
    assert "给她找到 02 色号" in words(await lina.page("/sidebar/today"))
    (card,) = [
        call for call in world.wecom.called("message/send") if "你答应" in call["template_card"]["main_title"]["title"]
    ]
    assert "一键发送" not in str(card)
    assert (await lina.tap(f"/sidebar/tasks/{row.id}/release")).status == 409
    html = await lina.press(f"{PAGE}/promises/{row.id}/kept")
    assert "已完成" in words(html)
    assert (await promise(world)).state == "sent"
    assert len(await world.rows(event, event.c.name == "staff.kept")) == 1
    assert not await world.rows(event, event.c.name == "task.sent"), "nothing was sent by it"
    await lina.press(f"{PAGE}/promises/{row.id}/reopen")
    assert (await promise(world)).state == "open"
    assert not await world.rows(event, event.c.name == "staff.kept")


async def test_a_promise_is_put_off_called_off_and_stays_when_overdue(
    world: World, lina: Member, xiaoman: None
) -> None:
    now = world.clock.now().astimezone(world.services.settings.shop.zone)
    for fields, problem in (
        ({"words": "", "day": now.date().isoformat()}, "还没有写答应了什么"),
        ({"words": "x", "day": "2020-01-01"}, "约定的时间已经过去"),
        ({"words": "x", "day": "other", "other": ""}, "没有看懂约在什么时候"),
        ({"words": "x", "day": "2030-01-01"}, "最多记一年以内"),
    ):
        assert problem in words(await lina.press(f"{PAGE}/promises", **fields))
    day = (now.date() + timedelta(days=1)).isoformat()
    await lina.press(f"{PAGE}/promises", words="查物流", day="other", other=day)
    row = await promise(world)
    await world.pass_time(days=3)
    assert (await promise(world)).state == "open", "nobody but the member ends a promise"
    assert "查物流" in words(await lina.page(PAGE))
    assert "已到期" in words(await lina.page(PAGE))
    later = (world.clock.now().date() + timedelta(days=4)).isoformat()
    await lina.press(f"{PAGE}/promises/{row.id}", day=later, clock="20:00")
    (told,) = await world.rows(event, event.c.name == "staff.promised")
    assert told.facts["due_at"] == (await promise(world)).due_at.isoformat()
    await lina.press(f"{PAGE}/promises/{row.id}", method="DELETE")
    assert ((await promise(world)).state, len(await world.rows(event, event.c.name == "staff.cancelled"))) == (
        "skipped",
        1,
    )


async def test_a_promise_goes_with_the_customer_to_the_next_owner(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"].append({"userid": "wanghao", "createtime": 1772416900, "add_way": 1})
    await world.add()
    day = (world.clock.now().date() + timedelta(days=2)).isoformat()
    await lina.press(f"{PAGE}/promises", words="预留库存", day=day)
    row = await promise(world)
    await world.services.db.write(
        lambda conn: hand_over(conn, world.services, "lina", XIAOMAN, "wanghao", now=world.clock.now())
    )
    assert (await refused(lina, f"promises/{row.id}/kept"))[0] == 404
    await world.pass_time(days=3)
    assert "预留库存" in words(await wanghao.page(PAGE))
    await wanghao.press(f"{PAGE}/promises/{row.id}/kept")
    assert (await promise(world)).state == "sent"


# Phones ---------------------------------------------------------------------------------------------------------------


async def test_a_number_is_masked_until_it_is_asked_for_and_who_saw_it_stays(
    world: World, lina: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"][0]["remark_mobiles"] = ["13800136620"]
    await world.add()
    assert "13800136620" not in await lina.page(PAGE)
    sheet = await lina.page(f"{PAGE}/phones", htmx=True)
    assert "138****6620" in sheet
    assert "13800136620" not in sheet
    (known,) = await world.rows(identity, identity.c.kind == "mobile_e164")
    html = await lina.press(f"{PAGE}/phones/{known.id}/reveal")
    assert "138 0013 6620" in html
    assert 'href="tel:+8613800136620"' in html
    (act,) = await world.rows(privacy_act, privacy_act.c.act == "revealed")
    assert (act.actor, act.person_id, act.facts["mask"]) == ("lina", known.person_id, "138****6620")
    assert "13800136620" not in str(act)


async def test_a_member_sees_only_so_many_numbers_a_day(world: World, lina: Member, wecom: FakeWeCom) -> None:
    wecom.contacts[XIAOMAN]["follow_user"][0]["remark_mobiles"] = ["13800136620"]
    await world.add()
    (known,) = await world.rows(identity, identity.c.kind == "mobile_e164")
    most = world.services.settings.security.reveals_per_day
    for _ in range(most):
        await lina.press(f"{PAGE}/phones/{known.id}/reveal")
    status, said = await refused(lina, f"phones/{known.id}/reveal")
    assert (status, f"今天查看的完整号码已达上限（{most} 个）" in said) == (403, True)
    world.clock.advance(days=1)
    await lina.press(f"{PAGE}/phones/{known.id}/reveal")


async def test_numbers_are_added_to_the_remark_and_taken_out_again(
    world: World, lina: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"][0]["remark_mobiles"] = ["13800136620"]

    def note(body: dict[str, Any]) -> dict[str, Any]:
        wecom.contacts[XIAOMAN]["follow_user"][0]["remark_mobiles"] = [one for one in body["remark_mobiles"] if one]
        return {}

    wecom.always("externalcontact/remark", note)
    await world.add()
    assert "不是 11 位手机号" in words(await lina.press(f"{PAGE}/phones", mobile="12345"))
    html = await lina.press(f"{PAGE}/phones", mobile="139 0000 1111")
    assert "已写进企业微信备注" in words(html)
    assert "13900001111" not in html
    assert wecom.called("externalcontact/remark")[-1]["remark_mobiles"] == ["13800136620", "13900001111"]
    assert "已经在备注里" in words(await lina.press(f"{PAGE}/phones", mobile="13900001111"))
    (known,) = await world.rows(identity, identity.c.mask == "139****1111")
    html = await lina.press(f"{PAGE}/phones/{known.id}", method="DELETE")
    assert wecom.called("externalcontact/remark")[-1]["remark_mobiles"] == ["13800136620"]
    assert not await world.rows(identity, identity.c.mask == "139****1111")
    assert "13900001111" not in html
    found = re.search(r'hx-vals=\'\{"sealed": "([^"]+)"\}', html)
    assert found
    await lina.press(f"{PAGE}/phones", sealed=found[1])
    assert len(await world.rows(identity, identity.c.mask == "139****1111")) == 1
    wecom.say("externalcontact/get", 45033)
    assert 'role="alert"' in await lina.press(f"{PAGE}/phones", mobile="13700000000")


# Refusals -------------------------------------------------------------------------------------------------------------


async def test_what_a_customer_refuses_is_noted_shown_and_taken_back(world: World, lina: Member, xiaoman: None) -> None:
    for flag in ("promo", "mass"):
        html = await lina.press(f"{PAGE}/optout", flag=flag, on="1")
    assert "已记下：不收群发" in words(html)
    (row,) = await world.rows(person)
    assert row.optout == {"promo": True, "mass": True}
    assert "客户说过：不收推销、不收群发" in words(await lina.page(PAGE))
    await lina.press(f"{PAGE}/optout", flag="mass", on="0")
    assert "客户说过：不收推销 " in words(await lina.page(PAGE))
    await lina.press(f"{PAGE}/optout", flag="all", on="1")
    assert "客户说过：全部不打扰" in words(await lina.page(PAGE))
    assert (await refused(lina, "optout", flag="sung", on="1"))[0] == 422
    assert {act.actor for act in await world.rows(privacy_act)} == {"lina"}


# Colleagues and the door ----------------------------------------------------------------------------------------------


async def test_colleagues_are_listed_with_who_talked_last(
    world: World, lina: Member, wanghao: Member, wecom: FakeWeCom
) -> None:
    wecom.contacts[XIAOMAN]["follow_user"].append({"userid": "wanghao", "createtime": 1772416900, "add_way": 1})
    await world.add()
    said = words(await wanghao.page(f"{PAGE}/colleagues", htmx=True))
    assert "李娜 负责人" in said
    assert "王皓 （我）" in said or "王皓（我）" in said
    assert "上次发消息 今天" in said, "the welcome"
    assert "还没发过消息" in said


GETS = ("tags", "tags/chips", "stage", "optout", "notes", "notes/new", "notes/1", "promises/new", "promises/1")
GETS += ("phones", "remark", "colleagues")
POSTS = ("tags", "stage", "optout", "notes", "notes/1", "notes/1/restore", "promises", "promises/1", "promises/1/kept")
POSTS += ("promises/1/reopen", "phones", "phones/1/reveal", "remark")
DELETES = ("notes/1", "promises/1", "phones/1")


async def test_another_members_customer_is_nobodys_business(world: World, wanghao: Member, xiaoman: None) -> None:
    fields = {"tag": "x", "on": "1", "stage": "意向", "flag": "promo", "kind": "call", "text": "x", "words": "x"}
    fields |= {"day": "2030-01-01", "mobile": "13800000000", "remark": "x"}
    for path in GETS:
        response = await wanghao.get(f"{PAGE}/{path}", htmx=True)
        assert (response.status, "不在你的跟进列表里" in await response.text()) == (403, True), path
    for method, paths in (("POST", POSTS), ("DELETE", DELETES)):
        for path in paths:
            headers = {**wanghao._cookie, "X-CSRF": wanghao.csrf, "HX-Request": "true"}
            response = await world.client.request(method, f"{PAGE}/{path}", data=fields, headers=headers)
            assert (response.status, "不在你的跟进列表里" in await response.text()) == (403, True), path
            response = await world.client.request(method, f"{PAGE}/{path}", data=fields, headers=wanghao._cookie)
            assert response.status == 403, f"{path} without the proof of the page"
    assert not world.wecom.called("externalcontact/remark")
    assert not await world.rows(privacy_act)
