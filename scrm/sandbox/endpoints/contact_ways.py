"""Contact ways, the channel codes that customers scan (doc 92228)."""

from datetime import timedelta

from ..call import Call
from ..cursors import next_cursor, read_cursor
from ..errors import Refusal
from ..world import ContactWay, Json

MOST_MEMBERS = 100
KEPT_AS_GIVEN = ("expires_in", "chat_expires_in", "unionid", "is_exclusive", "mark_source", "conclusions")


def qr_code(call: Call, way: ContactWay) -> str:
    """Address of the picture that customers scan."""
    return f"{call.config.base_url}/qr/{way.config_id}.png"


def add_contact_way(call: Call) -> Json:
    """A new code; its config_id is the only handle on it."""
    if "type" not in call.body:
        raise Refusal(41037)
    if "scene" not in call.body:
        raise Refusal(41038)
    if call.body["type"] not in (1, 2):
        raise Refusal(41039)
    if call.body["scene"] not in (1, 2):
        raise Refusal(41040)
    way = ContactWay(
        call.world.make_id("", f"way/{call.world.next_number()}/{call.now.timestamp()}"),
        call.now,
        scene=call.number("scene", 2),
        type=call.number("type", 2),
        is_temp=call.flag("is_temp", False),
    )
    _overwrite(call, way)
    if way.type == 1 and len(way.userids) != 1:
        raise Refusal(40058, f"invalid Request Parameter, type 1 needs one user, found {len(way.userids)}")
    if not way.userids and not way.party:
        raise Refusal(40058, "invalid Request Parameter, user and party are both empty")
    call.world.contact_ways[way.config_id] = way
    call.world.touch()
    answer: Json = {"config_id": way.config_id}
    if way.scene == 2:
        answer["qr_code"] = qr_code(call, way)
    return answer


def _overwrite(call: Call, way: ContactWay) -> None:
    if "remark" in call.body:
        way.remark = call.text("remark", chars=30)
    if "state" in call.body:
        way.state = call.text("state", chars=30)
    way.skip_verify = call.flag("skip_verify", way.skip_verify)
    way.style = call.number("style", way.style)
    if way.style not in range(4):
        raise Refusal(41042)
    if "user" in call.body:
        userids = call.texts("user")
        if len(userids) > MOST_MEMBERS:
            raise Refusal(41041)
        way.userids = [call.member(userid).userid for userid in userids]
    party = call.body.get("party")
    if party is not None:
        if not isinstance(party, list) or not all(isinstance(one, int) for one in party):
            raise Refusal(40058, "invalid Request Parameter, party must be a list of numbers")
        if any(not 1 <= one <= len(call.world.departments) for one in party):
            raise Refusal(60123)
        way.party = party
    way.extra.update({name: call.body[name] for name in KEPT_AS_GIVEN if name in call.body})


def _find(call: Call) -> ContactWay:
    config_id = call.text("config_id", missing=41043)
    way = call.world.contact_ways.get(config_id)
    if way is None:
        raise Refusal(41044)
    return way


def get_contact_way(call: Call) -> Json:
    """All settings of one code."""
    way = _find(call)
    answer: Json = {
        "config_id": way.config_id,
        "type": way.type,
        "scene": way.scene,
        "remark": way.remark,
        "skip_verify": way.skip_verify,
        "state": way.state,
        "user": list(way.userids),
        "party": list(way.party),
        "is_temp": way.is_temp,
        **way.extra,
    }
    if way.scene == 1:
        answer["style"] = way.style
    else:
        answer["qr_code"] = qr_code(call, way)
    return {"contact_way": answer}


def list_contact_way(call: Call) -> Json:
    """The ids of codes made in a span of time, page by page; temporary ones are left out."""
    end = call.number("end_time", int(call.now.timestamp()))
    start = call.number("start_time", int((call.now - timedelta(days=90)).timestamp()))
    limit = min(max(call.number("limit", 100), 1), 1000)
    (first,) = read_cursor(call)
    ways = [
        way
        for way in call.world.contact_ways.values()
        if not way.is_temp and start <= int(way.created_at.timestamp()) <= end
    ]
    return {
        "contact_way": [{"config_id": way.config_id} for way in ways[first : first + limit]],
        "next_cursor": next_cursor(call, first + limit, len(ways)),
    }


def update_contact_way(call: Call) -> Json:
    """Change a code; lists and texts that are given overwrite."""
    way = _find(call)
    _overwrite(call, way)
    call.world.touch()
    return {}


def del_contact_way(call: Call) -> Json:
    """End a code; scanning it then says that it is gone."""
    del call.world.contact_ways[_find(call).config_id]
    call.world.touch()
    return {}
