"""Several apps of one corp tell us things, each with its own Token and key: told apart, and each event applied once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scrm.app import build_app, open_services, publish_playbooks
from scrm.callbacks.models import inbox_event
from scrm.doctor.checks.apps import other_apps
from scrm.doctor.checks.stops import stopped
from scrm.doctor.look import Look
from scrm.errors import WrongUse
from scrm.events import event
from scrm.profiles.models import follow_user, member
from scrm.sop.models import enrolment, send
from scrm.wecom.errors import WeComError
from scrm.wecom.pacing import in_background
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import XIAOMAN, World, make_settings

NOTICE = {"agent_id": 1000022, "token": "TokenOfNotice", "encoding_aes_key": "N" * 42 + "A", "secret": "notice-secret"}
CONTACTS = {"token": "TokenOfContacts", "encoding_aes_key": "C" * 42 + "A"}
APPS: Any = {"notice": {**NOTICE, "calls": ["kf", "messages"]}, "contacts": CONTACTS}


@pytest.fixture
async def world(sqlite_url: str, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[World]:
    settings = make_settings(sqlite_url, wecom.url, apps=APPS)  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        async with TestClient(TestServer(build_app(services, with_worker=False))) as client:
            yield World(services, clock, wecom, client)


def sealed(xml: str, app: dict[str, Any], *, agent: str = "") -> tuple[dict[str, str], str]:
    """What WeCom posts for an app."""
    encrypted = fake.encrypt(xml.encode(), aes_key=app["encoding_aes_key"])
    query = {"msg_signature": fake.sign(encrypted, "1", "2", app["token"]), "timestamp": "1", "nonce": "2"}
    return query, f"<xml><Encrypt>{encrypted}</Encrypt>{agent}</xml>"


async def tell(world: World, name: str, xml: str, app: dict[str, Any], *, agent: str = "") -> int:
    query, body = sealed(xml, app, agent=agent)
    address = f"/callbacks/wecom/{name}" if name else "/callbacks/wecom"
    return (await world.client.post(address, params=query, data=body)).status


def added(world: World, code: str, *, turned: bool = False) -> str:
    fields = {"UserID": "lina", "ExternalUserID": XIAOMAN, "State": "live-1111", "WelcomeCode": code}
    if turned:
        fields = dict(reversed(fields.items()))
    return fake.event_xml("add_external_contact", created_at=int(world.clock.now().timestamp()), **fields)


async def test_each_app_is_heard_at_its_own_address_or_told_by_its_agent_id(world: World) -> None:
    xml = fake.event_xml("", created_at=1772416800, event="enter_agent")
    assert await tell(world, "notice", xml, NOTICE) == 200
    assert await tell(world, "", xml.replace("enter_agent", "click"), NOTICE, agent="<AgentID>1000022</AgentID>") == 200
    assert await tell(world, "contacts", xml.replace("enter_agent", "view"), CONTACTS) == 200
    assert (await world.tell(xml.replace("enter_agent", "LOCATION"))).status == 200
    assert await tell(world, "contacts", xml, NOTICE) == 403
    assert await tell(world, "", xml, NOTICE) == 403
    assert await tell(world, "nobody", xml, NOTICE) == 404
    assert len(await world.rows(inbox_event)) == 4
    echo = fake.encrypt(b"4711", aes_key=CONTACTS["encoding_aes_key"])
    query = {"msg_signature": fake.sign(echo, "1", "2", CONTACTS["token"]), "timestamp": "1", "nonce": "2"}
    answer = await world.client.get("/callbacks/wecom/contacts", params={**query, "echostr": echo})
    assert (answer.status, await answer.text()) == (200, "4711")


async def test_one_add_told_by_two_apps_is_applied_once(world: World) -> None:
    """The same words are one callback; with codes of their own they are two, of which the second changes nothing."""
    assert (await world.tell(added(world, "code-of-main"))).status == 200
    assert await tell(world, "notice", added(world, "code-of-main"), NOTICE) == 200
    assert await tell(world, "notice", added(world, "code-of-notice", turned=True), NOTICE) == 200
    await world.settle()
    assert await tell(world, "notice", added(world, "code-too-late"), NOTICE) == 200
    await world.settle()
    assert {row.state for row in await world.rows(inbox_event)} == {"done"}
    assert len(await world.rows(inbox_event)) == 3
    assert len(world.wecom.called("externalcontact/send_welcome_msg")) == 1
    assert len(await world.rows(follow_user)) == 1
    assert len(await world.rows(event, event.c.name == "contact.added")) == 1
    assert len(await world.rows(send, send.c.kind == "welcome", send.c.outcome == "sent")) == 1
    assert len(await world.rows(enrolment, enrolment.c.playbook_key == "new-customer")) == 1


async def test_a_member_who_leaves_another_apps_sight_stays_a_member(world: World) -> None:
    seen = fake.event_xml("", created_at=1772416800, event="subscribe", AgentID=str(fake.AGENT_ID))
    await world.tell(seen.replace("[sys]", "[lina]"))
    await world.settle()
    await world.pass_time(seconds=60)
    gone = fake.event_xml("", created_at=1772416900, event="unsubscribe", AgentID="1000022").replace("[sys]", "[lina]")
    assert await tell(world, "notice", gone, NOTICE) == 200
    await world.settle()
    (row,) = await world.rows(member)
    assert row.is_active


async def test_a_family_of_endpoints_is_called_as_its_own_app_and_stops_alone(world: World) -> None:
    wecom = world.services.wecom
    await wecom.messages.send_message({"touser": "lina", "msgtype": "text", "text": {"content": "早"}})
    await wecom.members.get_user("lina")
    assert {call["corpsecret"] for call in world.wecom.called("gettoken")} == {fake.SECRET, "notice-secret"}
    assert world.wecom.called("message/send")[0]["agentid"] == 1000022
    world.wecom.say("kf/account/list", 50003)
    with in_background():
        for _ in range(2):
            with pytest.raises(WeComError):
                await wecom.kf.account_list()
        await wecom.members.get_user("lina")
    assert len(world.wecom.called("kf/account/list")) == 1
    assert list(await wecom.stops.look()) == ["kf/"]
    world.wecom.always("agent/get", lambda body: {"name": "晴屿"})
    assert (await stopped(Look(world.services))).state == "good"
    assert not await wecom.stops.look()


async def test_the_doctor_names_the_app_whose_secret_is_wrong(world: World) -> None:
    world.wecom.say("gettoken", 40001)
    found = await other_apps(Look(world.services))
    assert (found.state, found.found.split("：")[0]) == ("bad", "[apps.notice]")
    assert "Secret" in found.found


@pytest.mark.parametrize(
    ("apps", "says"),
    [
        ({"x": {"token": "T"}}, "token and encoding_aes_key together"),
        ({"x": {"calls": "kf"}}, "expected a secret beside it"),
        ({"x": {"calls": ["messages"], "secret": "s"}}, "expected an agent_id"),
        ({"x": {"agent_id": fake.AGENT_ID}}, "expected agent_id 1000021 once"),
        ({"x": {"calls": "kf", "secret": "a"}, "y": {"calls": "kf", "secret": "b"}}, "expected calls kf once"),
        ({"X y": {}}, "lower-case"),
    ],
)
def test_what_an_app_lacks_is_one_line(apps: Any, says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        make_settings("sqlite:///x", "http://x", apps=apps)
