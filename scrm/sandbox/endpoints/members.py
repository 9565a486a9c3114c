"""The address book, as far as an app may see it."""

from ..call import Call
from ..errors import Refusal
from ..world import Json, Member


def user_get(call: Call) -> Json:
    """One member (doc 90196), without the fields that need consent since 2022."""
    return _full(call.member(call.query.get("userid", "")))


def _full(member: Member) -> Json:
    return {
        "userid": member.userid,
        "name": member.name,
        "department": [member.department],
        "order": [0],
        "position": member.position,
        "is_leader_in_dept": [0],
        "direct_leader": [],
        "telephone": "",
        "alias": "",
        "status": 1,
        "main_department": member.department,
        "extattr": {"attrs": []},
    }


def user_simplelist(call: Call) -> Json:
    """The members of one department, not of those below it (doc 90200)."""
    department = _department(call, "department_id")
    members = (member for member in call.world.members_in_range() if member.department == department)
    return {"userlist": [_brief(member) for member in members]}


def _brief(member: Member) -> Json:
    return {"userid": member.userid, "name": member.name, "department": [member.department]}


def department_simplelist(call: Call) -> Json:
    """The ids of a department and of all below it (doc 95350)."""
    top = _department(call, "id") if call.query.get("id") else 1
    ids = range(1, len(call.world.departments) + 1) if top == 1 else [top]
    return {"department_id": [{"id": one, "parentid": 0 if one == 1 else 1, "order": 100 - one} for one in ids]}


def department_get(call: Call) -> Json:
    """One department with its name (doc 95351)."""
    return {"department": _described(call, _department(call, "id"))}


def department_list(call: Call) -> Json:
    """A department and all below it, with their names (doc 90208)."""
    top = _department(call, "id") if call.query.get("id") else 1
    ids = range(1, len(call.world.departments) + 1) if top == 1 else [top]
    return {"department": [_described(call, one) for one in ids]}


def _described(call: Call, one: int) -> Json:
    return {
        "id": one,
        "name": call.world.departments[one - 1],
        "name_en": "",
        "department_leader": [],
        "parentid": 0 if one == 1 else 1,
        "order": 100 - one,
    }


def user_list(call: Call) -> Json:
    """The members of one department in full (doc 90201)."""
    department = _department(call, "department_id")
    members = (member for member in call.world.members_in_range() if member.department == department)
    return {"userlist": [_full(member) for member in members]}


def user_list_id(call: Call) -> Json:
    """For the contact-sync secret only (doc 96067); the sandbox has one app, a self-built one."""
    raise Refusal(48002)


def _department(call: Call, name: str) -> int:
    text = call.query.get(name, "")
    if not text.isdigit() or not 1 <= int(text) <= len(call.world.departments):
        raise Refusal(60123)
    return int(text)


def get_follow_user_list(call: Call) -> Json:
    """The members who may serve customers (doc 92571)."""
    return {"follow_user": [member.userid for member in call.world.members_in_range()]}
