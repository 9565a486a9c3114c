"""A grown shop in the sandbox, and the address book an app may read."""

import time

from tests.sandbox.conftest import Wecom


async def test_a_grown_shop_is_seeded_fast_and_read_in_pages_that_end_only_at_the_end(wecom: Wecom) -> None:
    began = time.perf_counter()
    status, seeded = await wecom.control("seed", customers=5_000, members=7, departments=3)
    assert status == 200
    assert 5_000 < seeded["relations"] <= 5_500
    assert time.perf_counter() - began < 3  # a hundred thousand in a minute
    userids = (await wecom.call("externalcontact/get_follow_user_list"))["follow_user"]
    seen: set[tuple[str, str]] = set()
    cursor, calls = "", 0
    while not calls or cursor:
        answer = await wecom.call("externalcontact/batch/get_by_user", userid_list=userids, cursor=cursor, limit=100)
        assert len(answer["external_contact_list"]) <= 100
        seen |= {
            (row["follow_info"]["userid"], row["external_contact"]["external_userid"])
            for row in answer["external_contact_list"]
        }
        cursor, calls = answer["next_cursor"], calls + 1
    assert len(seen) == seeded["relations"]
    assert await wecom.page("/phone")
    status, refused = await wecom.control("seed", customers=0)
    assert status == 422
    assert "customers" in refused["error"]


async def test_departments_have_names_and_members_and_all_ids_are_for_the_sync_secret(wecom: Wecom) -> None:
    wecom.sandbox.add_member("zhou", "周舟", department="门店二部")
    listed = (await wecom.call("department/simplelist"))["department_id"]
    names = [(await wecom.call("department/get", {"id": str(one["id"])}))["department"]["name"] for one in listed]
    assert names[1:] == ["门店一部", "门店二部"]
    brief = await wecom.call("user/simplelist", {"department_id": str(listed[2]["id"])})
    full = await wecom.call("user/list", {"department_id": str(listed[2]["id"])})
    assert [user["userid"] for user in brief["userlist"]] == [user["userid"] for user in full["userlist"]] == ["zhou"]
    assert (await wecom.call("department/get", {"id": "99"}))["errcode"] == 60123
    assert (await wecom.call("user/list_id", limit=10))["errcode"] == 48002
