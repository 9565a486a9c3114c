"""隐私与退订 as managers use it: masks until asked, a reason for clear values, and words to type before an erasure."""

from typing import Any

from scrm.privacy.models import privacy_act
from scrm.profiles.models import person
from tests.console.conftest import SignIn, Visitor, sign_in  # noqa: F401 - a fixture
from tests.privacy.test_erase import ADDRESS, PHONE, RECEIVER, SQLITE_ONLY, live_the_story
from tests.sidebar.conftest import sign_in as enter_sidebar
from tests.world import XIAOMAN, World


async def send(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    answer = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    content: Any = await answer.read()
    return answer.status, content.decode("utf-8", "replace")


@SQLITE_ONLY
async def test_a_manager_sees_masks_and_an_administrator_may_forget(world: World, sign_in: SignIn) -> None:  # noqa: F811
    person_id = await live_the_story(world)
    manager = await sign_in("chenlan", "陈岚", "manager")
    path = f"/console/customers/{person_id}/privacy"
    for page in (await manager.get(path), await manager.get(f"/console/customers/{person_id}")):
        assert page.status == 200
        assert "138****5544" in page.text
        assert not any(private in page.html for private in (PHONE, RECEIVER, ADDRESS))
    assert "需要管理员操作" in await manager.get(path)

    status, text = await send(manager, f"{path}/reveal", reason=" ")
    assert (status, "请填写查看原因" in text, PHONE in text) == (200, True, False)
    status, text = await send(manager, f"{path}/reveal", reason="客户来电改地址")
    assert status == 200
    assert all(private in text for private in (PHONE, RECEIVER, ADDRESS, "客户来电改地址", "查看了明文"))
    assert PHONE not in (await manager.get(path)).html

    assert (await send(manager, f"{path}/optout", promo="on"))[0] == 303
    assert (await world.rows(person, person.c.id == person_id))[0].optout == {"promo": True}
    assert "已退订" in await manager.get(f"/console/customers/{person_id}")
    assert (await send(manager, f"{path}/export"))[0] == 403
    assert (await send(manager, f"{path}/erase", confirm=f"删除 {person_id}"))[0] == 403

    owner = await sign_in("boss", "老板", "administrator")
    assert (await send(owner, f"{path}/export"))[1].startswith("PK")
    status, text = await send(owner, f"{path}/erase", confirm="好的")
    assert (status, "没有删除" in text) == (200, True)
    assert (await send(owner, f"{path}/erase", confirm=f"删除 {person_id}", reason="客户要求"))[0] == 303
    assert "已于" in await owner.get(path)
    assert f"/console/customers/{person_id}" not in (await owner.get("/console/customers")).links
    acts = [row.act for row in await world.rows(privacy_act)]
    assert acts == ["revealed", "opted_out", "exported", "erased"]

    await world.add(WelcomeCode="code-back")
    back = await owner.get("/console/customers/2/privacy")
    assert "要求删除过资料" in back


@SQLITE_ONLY
async def test_a_member_notes_in_one_tap_what_the_customer_said(world: World) -> None:
    await world.add()
    lina = await enter_sidebar(world, "lina", "丽娜")
    path = f"/sidebar/contacts/{XIAOMAN}"
    assert "都可以发" in await lina.page(path)
    assert "已记下：不收推销" in await lina.press(f"{path}/optout", flag="promo", on="1")
    assert "客户说过：不收推销" in await lina.page(path)
    assert (await world.rows(person))[0].optout == {"promo": True}
    assert "已恢复接收：不收推销" in await lina.press(f"{path}/optout", flag="promo", on="0")
    assert "客户说过" not in await lina.page(path)
    stranger = await enter_sidebar(world, "wangwu", "王五")
    assert (await stranger.tap(f"{path}/optout", promo="1")).status == 403
