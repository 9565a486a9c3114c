"""What the app is told, how, and how often."""

import re

from tests.sandbox.conftest import Wecom


def fields(event: str) -> dict[str, str]:
    """The elements of an event by name."""
    return dict(re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^\]<]*)", event))


async def test_a_scan_with_skip_verify_is_half_added_then_confirmed_without_a_second_code(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan()
    await wecom.call("externalcontact/send_welcome_msg", welcome_code=code, text={"content": "你好"})
    await wecom.sandbox.confirm("lina", external_userid)
    await wecom.sandbox.settle()
    half, added = sorted(map(fields, wecom.app.events), key=lambda event: event["ChangeType"], reverse=True)
    assert half["ChangeType"] == "add_half_external_contact"
    assert (half["FromUserName"], half["UserID"], half["State"]) == ("sys", "lina", "expo-a")
    assert half["WelcomeCode"] == code
    assert added["ChangeType"] == "add_external_contact"
    assert "WelcomeCode" not in added
    assert wecom.app.content_types == ["text/xml", "text/xml"]


async def test_an_unused_half_code_is_followed_by_another(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan()
    await wecom.sandbox.confirm("lina", external_userid)
    await wecom.sandbox.settle()
    codes = {fields(event)["WelcomeCode"] for event in wecom.app.events}
    assert len(codes) == 2
    assert code in codes


async def test_the_member_confirms_by_itself_after_a_while(wecom: Wecom) -> None:
    wecom.sandbox.faults.member_confirms_after = 0.0
    external_userid, _ = await wecom.scan()
    for _ in range(50):
        await wecom.sandbox.settle()
        if wecom.sandbox.get_pair("lina", external_userid).state == "friend":
            break
        await wecom.page("/")
    assert wecom.sandbox.get_pair("lina", external_userid).state == "friend"


async def test_without_skip_verify_nothing_is_told_until_the_member_accepts(wecom: Wecom) -> None:
    careful = wecom.sandbox.add_contact_way_seed("careful", "需验证", ["lina"], skip_verify=False)
    external_userid = await wecom.sandbox.scan("aning", careful)
    await wecom.sandbox.settle()
    assert wecom.app.events == []
    await wecom.sandbox.confirm("lina", external_userid)
    await wecom.sandbox.settle()
    [event] = map(fields, wecom.app.events)
    assert event["ChangeType"] == "add_external_contact"
    assert event["WelcomeCode"]


async def test_friends_who_scan_again_tell_nothing_and_deleted_ones_start_anew(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    await wecom.scan()
    await wecom.sandbox.delete_contact("lina", external_userid)
    await wecom.scan()
    await wecom.sandbox.settle()
    kinds = [fields(event)["ChangeType"] for event in wecom.app.events]
    assert sorted(kinds) == ["add_half_external_contact", "add_half_external_contact", "del_external_contact"]


async def test_deletions_and_edits_name_the_two_and_nothing_else(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    await wecom.sandbox.edit_contact("lina", external_userid, remark="小满")
    await wecom.sandbox.delete_member("xiaoman", "lina")
    await wecom.sandbox.settle()
    told = {fields(event)["ChangeType"]: fields(event) for event in wecom.app.events}
    for kind in ("edit_external_contact", "del_follow_user"):
        assert told[kind]["ExternalUserID"] == external_userid
        assert not {"State", "WelcomeCode", "Source"} & told[kind].keys()


async def test_consent_to_archiving_brings_a_code_while_one_is_of_use(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan()
    await wecom.control("agree_to_archiving", user="xiaoman", userid="lina")
    await wecom.sandbox.say("lina", external_userid, "你好", sender="customer")
    await wecom.control("agree_to_archiving", user="xiaoman", userid="lina")
    await wecom.sandbox.settle()
    told = [fields(event) for event in wecom.app.events if "msg_audit_approved" in event]
    assert [bool(each.get("WelcomeCode")) for each in told] == [True, False]
    assert told[0]["WelcomeCode"] != code
    assert not any("State" in each for each in told)


async def test_a_failing_app_is_told_four_times_in_new_envelopes_with_the_same_text(wecom: Wecom) -> None:
    wecom.app.statuses = [500, 503, 404, 500]
    await wecom.scan()
    await wecom.sandbox.settle()
    assert len(set(wecom.app.events)) == 1
    assert len(set(wecom.app.bodies)) == 4
    assert len({query["nonce"] for query in wecom.app.queries}) == 4
    [delivery] = wecom.sandbox.delivery_log
    assert (delivery.state, delivery.tries) == ("failed", ["500", "503", "404", "500"])


async def test_repeats_stop_when_the_app_answers_200(wecom: Wecom) -> None:
    wecom.app.statuses = [500, 200]
    await wecom.scan()
    await wecom.sandbox.settle()
    assert wecom.sandbox.delivery_log[0].tries == ["500", "200"]
    assert wecom.sandbox.delivery_log[0].state == "delivered"


async def test_with_the_newer_reading_only_lost_connections_are_repeated(wecom: Wecom) -> None:
    wecom.sandbox.faults.retry_on_non_200 = False
    wecom.app.statuses = [500]
    await wecom.scan()
    await wecom.sandbox.settle()
    assert wecom.sandbox.delivery_log[0].tries == ["500"]


async def test_callbacks_can_be_dropped_and_doubled(wecom: Wecom) -> None:
    wecom.sandbox.faults.drop_callbacks = 1
    await wecom.scan("xiaoman")
    wecom.sandbox.faults.duplicate_callbacks = True
    aning, _ = await wecom.scan("aning")
    await wecom.sandbox.settle()
    assert [fields(event)["ExternalUserID"] for event in wecom.app.events] == [aning, aning]
    assert wecom.sandbox.delivery_log[0].state == "dropped"


async def test_two_callbacks_can_change_places(wecom: Wecom) -> None:
    wecom.sandbox.faults.reorder_callbacks = True
    xiaoman, _ = await wecom.scan("xiaoman")
    aning, _ = await wecom.scan("aning")
    await wecom.sandbox.deliveries.settle()
    assert [fields(event)["ExternalUserID"] for event in wecom.app.events] == [aning, xiaoman]


async def test_a_wrong_signature_can_be_sent(wecom: Wecom) -> None:
    wecom.sandbox.faults.wrong_signatures = 1
    await wecom.scan()
    await wecom.sandbox.settle()
    assert wecom.app.queries[0]["msg_signature"] == "0" * 40


async def test_the_callback_address_is_verified_as_the_admin_console_does(wecom: Wecom) -> None:
    assert await wecom.control("verify_url") == (200, {"ok": True, "problem": ""})


async def test_an_administrators_own_welcome_takes_the_code_away(wecom: Wecom) -> None:
    wecom.sandbox.faults.no_welcome_code = True
    _, code = await wecom.scan()
    await wecom.sandbox.settle()
    assert code == ""
    assert "WelcomeCode" not in fields(wecom.app.events[0])
