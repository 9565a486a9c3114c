"""Customers and their relations to members."""

from ..call import Call, read_text
from ..cursors import make_cursor, read_cursor
from ..errors import Refusal
from ..world import Json, Pair, WechatUser

FOLLOWERS_PER_PAGE = 500


def list_contacts(call: Call) -> Json:
    """All customers of one member; none at all is 84061, not an empty list (doc 92113)."""
    member = call.member(call.query.get("userid", ""))
    ids = [pair.external_userid for pair in call.world.pairs_of_member(member.userid) if call.can_use(pair)]
    if not ids:
        raise Refusal(84061)
    return {"external_userid": ids}


def get_contact(call: Call) -> Json:
    """One customer with every member who follows (doc 92114)."""
    external_userid = call.query.get("external_userid", "")
    if not external_userid:
        raise Refusal(41035)
    user = call.world.find_customer(external_userid)
    if user is None:
        raise Refusal(40096)
    pairs = [pair for pair in call.world.pairs_of_customer(external_userid) if call.can_use(pair)]
    if not pairs:
        raise Refusal(84061)
    return {
        "external_contact": external_contact(call, user),
        "follow_user": [{**_relation(pair), "tags": _named_tags(call, pair)} for pair in pairs],
    }


def external_contact(call: Call, user: WechatUser) -> Json:
    """The customer's own part of an answer; unionid only when it is known."""
    answer: Json = {
        "external_userid": user.external_userid,
        "name": user.name,
        "type": 2 if user.corp_name else 1,
        "avatar": f"{call.config.base_url}/avatar/{user.key}.svg",
        "gender": user.gender,
    }
    if user.corp_name:
        answer |= {"corp_name": user.corp_name, "corp_full_name": user.corp_name, "position": "采购"}
    elif user.unionid:
        answer["unionid"] = user.unionid
    return answer


def _relation(pair: Pair) -> Json:
    relation: Json = {
        "userid": pair.userid,
        "remark": pair.remark,
        "description": pair.description,
        "createtime": int(pair.created_at.timestamp()),
        "remark_corp_name": pair.remark_company,
        "remark_mobiles": list(pair.remark_mobiles),
        "oper_userid": pair.external_userid,
        "add_way": pair.add_way,
    }
    if pair.external_userid.startswith("wo"):
        del relation["remark_corp_name"]  # of WeChat customers only (doc 92114)
    if pair.channel:
        relation["state"] = pair.channel
    return relation


def _named_tags(call: Call, pair: Pair) -> list[Json]:
    found = [call.world.find_tag(tag_id) for tag_id in pair.tag_ids]
    return [
        {"group_name": group.name, "tag_name": tag.name, "tag_id": tag.id, "type": 1}
        for group, tag in filter(None, found)
    ]


def batch_get_by_user(call: Call) -> Json:
    """Customers of up to 100 members, page by page; one row per relation (doc 92994)."""
    userids = call.texts("userid_list", most=100)
    if not userids:
        raise Refusal(40058, "invalid Request Parameter, userid_list is empty")
    members = [call.member(userid) for userid in userids]
    limit = min(max(call.number("limit", 50), 1), 100)
    page, cursor = _page(call, [member.userid for member in members], limit)
    return {"external_contact_list": [_row(call, pair) for pair in page], "next_cursor": cursor}


def _page(call: Call, userids: list[str], limit: int) -> tuple[list[Pair], str]:
    """The relations from the cursor on, and the cursor behind them (which member, how many of theirs are done)."""
    number, start = read_cursor(call, 2)
    page: list[Pair] = []
    while number < len(userids):
        for pair in call.world.pairs_after(userids[number], start):
            if len(page) == limit:
                return page, make_cursor(call, number, start)
            start += 1
            if call.can_use(pair):
                page.append(pair)
        number, start = number + 1, 0
    return page, ""


def _row(call: Call, pair: Pair) -> Json:
    user = call.world.get_customer(pair.external_userid)
    return {
        "external_contact": external_contact(call, user),
        "follow_info": {**_relation(pair), "tag_id": list(pair.tag_ids)},
    }


def remark(call: Call) -> Json:
    """What the member notes about the customer; given fields overwrite (doc 92115)."""
    pair = call.pair()
    fields = ("remark", "description", "remark_company", "remark_mobiles", "remark_pic_mediaid")
    if not any(name in call.body for name in fields):
        raise Refusal(40058, "invalid Request Parameter, nothing to change")
    if "remark" in call.body:
        pair.remark = call.text("remark", chars=20)
    if "description" in call.body:
        pair.description = call.text("description", chars=150)
    if "remark_company" in call.body:
        pair.remark_company = call.text("remark_company", chars=20)
    if "remark_mobiles" in call.body:
        pair.remark_mobiles = [mobile for mobile in call.texts("remark_mobiles") if mobile]
    return _changed(call, pair)


def _changed(call: Call, pair: Pair) -> Json:
    """The document says that no event follows a call; some corps saw one (open question 6)."""
    call.world.touch()
    if call.faults.echo_edits:
        call.world.echoes.append((pair.userid, pair.external_userid))
    return {}


MOST_TAGS_ON_A_PAIR = 3000


def mark_tag(call: Call) -> Json:
    """Put corp tags on a relation and take them off (doc 92118)."""
    pair = call.pair()
    add, remove = call.texts("add_tag"), call.texts("remove_tag")
    if not add and not remove:
        raise Refusal(40058, "invalid Request Parameter, add_tag and remove_tag are both empty")
    if any(call.world.find_tag(tag_id) is None for tag_id in add + remove):
        raise Refusal(40068)
    kept = [tag_id for tag_id in pair.tag_ids if tag_id not in remove]
    marked = list(dict.fromkeys(kept + add))
    if len(marked) > MOST_TAGS_ON_A_PAIR:
        raise Refusal(40144, "tag count of the customer reached the limit")
    pair.tag_ids = marked
    return _changed(call, pair)


def relation_key(call: Call) -> tuple[str, ...]:
    """What two parallel writes must not share (45035)."""
    return read_text(call.body, "userid").casefold(), read_text(call.body, "external_userid")
