"""A whole WeCom written from its documents alone: strict about what it is asked, and answering as loosely as they allow.

It shares no line with the sandbox. What a caller may not do is refused with the documented code and kept in
`complaints`; lists come as null, numbers as text, parts are left out, a last page repeats its cursor.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

Json = dict[str, Any]
Handler = Callable[[Json], Json]
CORP, AGENT, SECRET = "ww7f2c19e0a4d83b56", 1000021, "s3cret-of-the-app"
KF = "wkForeign00000000000000001"
CODE_LIFE, TOKEN_LIFE, CARD_LIFE, KF_WINDOW = (
    timedelta(seconds=20),
    timedelta(hours=2),
    timedelta(hours=72),
    timedelta(hours=48),
)


class Refused(Exception):
    """An errcode, and whether asking so was the caller's own mistake."""

    def __init__(self, errcode: int, text: str, *, is_mistake: bool = True) -> None:
        super().__init__(text)
        self.errcode, self.is_mistake = errcode, is_mistake


def bytes_of(text: object) -> int:
    return len(str(text or "").encode())


def need(holds: object, errcode: int, text: str) -> None:
    if not holds:
        raise Refused(errcode, text)


@dataclass
class Made:
    """A mass message as it was asked for: nothing goes out before its member confirms."""

    msgid: str
    sender: str
    targets: list[str]
    text: str
    sent_at: int = 0


@dataclass
class Corp:
    """The state of the corp, and what has been asked of it."""

    now: Callable[[], datetime]
    members: dict[str, str] = field(default_factory=dict)
    customers: dict[str, Json] = field(default_factory=dict)
    friends: dict[tuple[str, str], Json] = field(default_factory=dict)
    tags: dict[str, Json] = field(default_factory=dict)
    groups: dict[str, Json] = field(default_factory=dict)
    welcome_codes: dict[str, datetime] = field(default_factory=dict)
    login_codes: dict[str, str] = field(default_factory=dict)
    card_codes: dict[str, datetime] = field(default_factory=dict)
    kf_codes: dict[str, datetime] = field(default_factory=dict)
    kf_tokens: dict[str, datetime] = field(default_factory=dict)
    kf_messages: list[Json] = field(default_factory=list)
    kf_said: list[tuple[str, str]] = field(default_factory=list)
    kf_states: dict[str, int] = field(default_factory=dict)
    kf_spoken: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    welcomed: list[tuple[str, str]] = field(default_factory=list)
    cards: list[Json] = field(default_factory=list)
    greyed: list[str] = field(default_factory=list)
    made: dict[str, Made] = field(default_factory=dict)
    handed: dict[tuple[str, str, str], Json] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)
    most_under_way: Counter[str] = field(default_factory=Counter)
    _tokens: dict[str, datetime] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def seconds(self) -> int:
        return int(self.now().timestamp())

    def befriend(self, userid: str, external_userid: str, name: str, **more: Any) -> None:
        self.customers.setdefault(external_userid, {"external_userid": external_userid, "name": name, "type": 1})
        follow = {"userid": userid, "remark": name, "createtime": self.seconds(), "tags": [], "add_way": 1, **more}
        self.friends[userid, external_userid] = follow

    def expire_tokens(self) -> None:
        self._tokens.clear()

    # The door ----------------------------------------------------------------------------------------------------

    async def answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked[path] += 1
        self.under_way[path] += 1
        self.most_under_way[path] = max(self.most_under_way[path], self.under_way[path])
        try:
            body = await request.json() if request.method == "POST" else {}
            given = {**body, **{key: value for key, value in request.query.items() if key != "access_token"}}
            return web.json_response({"errcode": 0, "errmsg": "ok", **self._decide(path, request, given)})
        except Refused as refused:
            if refused.is_mistake:
                self.complaints.append(f"{path}: {refused.errcode} {refused}")
            return web.json_response({"errcode": refused.errcode, "errmsg": str(refused)})
        finally:
            self.under_way[path] -= 1

    def _decide(self, path: str, request: web.Request, given: Json) -> Json:
        if path == "gettoken":
            return self._gettoken(given)
        need("access_token" in request.query, 41001, "access_token missing")
        until = self._tokens.get(request.query["access_token"])
        if until is None or until <= self.now():
            # It may end early at any time (doc 91039): whoever asks again with a new one has done right.
            raise Refused(42001, "access_token expired", is_mistake=False)
        method, handler = ENDPOINTS.get(path, ("", None))
        if handler is None:
            raise Refused(48002, "api forbidden", is_mistake=False)
        need(request.method == method, 43002, f"require {method} method")
        return handler(self, given)

    def _gettoken(self, given: Json) -> Json:
        need(given.get("corpsecret"), 41004, "corpsecret missing")
        need(given.get("corpid") == CORP, 40013, "invalid corpid")
        need(given["corpsecret"] == SECRET, 40001, "invalid credential")
        for token, until in self._tokens.items():
            if until > self.now():
                return {"access_token": token, "expires_in": int((until - self.now()).total_seconds())}
        token = f"FOREIGN{next(self._numbers)}".ljust(512, "x")
        self._tokens = {token: self.now() + TOKEN_LIFE}
        return {"access_token": token, "expires_in": 7200}

    # Members and customers ---------------------------------------------------------------------------------------

    def user_get(self, given: Json) -> Json:
        if given.get("userid") not in self.members:
            raise Refused(60111, "userid not found", is_mistake=False)
        return {"userid": given["userid"], "name": self.members[given["userid"]], "status": "1"}

    def user_info(self, given: Json) -> Json:
        userid = self.login_codes.pop(given.get("code", ""), "")
        if not userid:
            raise Refused(40029, "invalid code", is_mistake=False)
        return {"userid": userid}

    def batch_get(self, given: Json) -> Json:
        userids = given.get("userid_list")
        need(isinstance(userids, list) and 1 <= len(userids) <= 100, 40058, "userid_list takes 1 to 100")
        need(1 <= given.get("limit", 50) <= 100, 40058, "limit")
        pairs = sorted(pair for pair in self.friends if pair[0] in userids)
        start = int(given.get("cursor") or 0)
        rows = []
        for userid, external_userid in pairs[start : start + 1]:
            follow = self.friends[userid, external_userid]
            info = {
                **{key: value for key, value in follow.items() if key != "tags"},
                "createtime": str(follow["createtime"]),
                "tag_id": [tag["tag_id"] for tag in follow["tags"]] or None,
            }
            rows.append({"external_contact": self.customers[external_userid], "follow_info": info})
        last = start + 1 >= len(pairs)
        # A last page that repeats the cursor it was asked with; "" is what the document promises.
        return {"external_contact_list": rows, "next_cursor": given.get("cursor", "") if last else str(start + 1)}

    def list_of(self, given: Json) -> Json:
        found = [external for userid, external in self.friends if userid == given.get("userid")]
        if not found:
            raise Refused(84061, "not external contact", is_mistake=False)
        return {"external_userid": found}

    def contact(self, given: Json) -> Json:
        external_userid = given.get("external_userid")
        follows = [
            {**follow, "tags": [self.tag_of(tag["tag_id"]) for tag in follow["tags"]]}
            for (_, external), follow in self.friends.items()
            if external == external_userid
        ]
        if not follows:
            raise Refused(84061, "not external contact", is_mistake=False)
        return {"external_contact": self.customers[str(external_userid)], "follow_user": follows, "next_cursor": None}

    def welcome(self, given: Json) -> Json:
        made = self.welcome_codes.pop(given.get("welcome_code", ""), None)
        need(made is not None and self.now() - made <= CODE_LIFE, 41050, "welcome_code used or too old")
        text = (given.get("text") or {}).get("content", "")
        need(text or given.get("attachments"), 40058, "text or attachments")
        need(bytes_of(text) <= 4000 and len(given.get("attachments") or ()) <= 9, 40058, "too long")
        for each in given.get("attachments") or ():
            need(each.get("msgtype") in ("image", "link", "miniprogram", "video", "file"), 41065, "msgtype")
            need(bytes_of(each.get("link", {}).get("title")) <= 128, 40058, "link.title")
        self.welcomed.append((given["welcome_code"], text))
        return {}

    # Tags --------------------------------------------------------------------------------------------------------

    def tag_list(self, given: Json) -> Json:
        wanted = given.get("tag_id") or []
        tags = [
            {"id": tag_id, "order": "0", **tag} for tag_id, tag in self.tags.items() if not wanted or tag_id in wanted
        ]
        return {"tag_group": [{"group_id": "etGroup", "group_name": "来源", "order": 0, "tag": tags}] if tags else None}

    def add_tag(self, given: Json) -> Json:
        need(given.get("group_id") or given.get("group_name"), 40058, "group")
        need(all(0 < len(tag["name"]) <= 30 for tag in given.get("tag") or [{"name": ""}]), 40072, "name")
        made = []
        for tag in given["tag"]:
            tag_id = f"et{next(self._numbers)}"
            self.tags[tag_id] = {"name": tag["name"]}
            made.append({"id": tag_id, "name": tag["name"], "create_time": str(self.seconds())})
        return {"tag_group": {"group_id": "etGroup", "group_name": "来源", "tag": made}}

    def mark_tag(self, given: Json) -> Json:
        follow = self.friends.get((given.get("userid", ""), given.get("external_userid", "")))
        need(follow is not None, 84061, "not external contact")
        need(self.under_way["externalcontact/mark_tag"] == 1, 45035, "one at a time")
        add, remove = given.get("add_tag") or [], given.get("remove_tag") or []
        need((add or remove) and all(tag in self.tags for tag in (*add, *remove)), 40068, "invalid tagid")
        assert follow is not None
        kept = [tag for tag in follow["tags"] if tag["tag_id"] not in (*add, *remove)]
        follow["tags"] = [*kept, *(self.tag_of(tag) for tag in add)]
        return {}

    def tag_of(self, tag_id: str) -> Json:
        return {"group_name": "来源", "tag_name": self.tags[tag_id]["name"], "tag_id": tag_id, "type": 1}

    # Groups ------------------------------------------------------------------------------------------------------

    def group_list(self, given: Json) -> Json:
        need(1 <= int(given.get("limit") or 0) <= 1000, 40058, "limit is required")
        owners = (given.get("owner_filter") or {}).get("userid_list") or []
        need(len(owners) <= 100, 40058, "owner_filter takes 100")
        rows = [
            {"chat_id": chat_id, "status": "0"}
            for chat_id, group in self.groups.items()
            if not owners or group["owner"] in owners
        ]
        return {"group_chat_list": rows or None}

    def group(self, given: Json) -> Json:
        group = self.groups.get(given.get("chat_id", ""))
        if group is None:
            raise Refused(49008, "group dissolved", is_mistake=False)
        return {"group_chat": {**group, "admin_list": None}}

    # Sending -----------------------------------------------------------------------------------------------------

    def mass_message(self, given: Json) -> Json:
        chosen = given.get("external_userid") or []
        need(given.get("chat_type", "single") == "single" and (chosen or given.get("sender")), 40058, "nobody")
        need(len(chosen) <= 10_000 and bytes_of(given.get("text", {}).get("content")) <= 4000, 40058, "too much")
        reached = [each for each in chosen if (given["sender"], each) in self.friends]
        need(reached, 41048, "nobody can be reached")
        made = Made(f"msg{next(self._numbers):030}", given["sender"], reached, given["text"]["content"])
        self.made[made.msgid] = made
        return {"msgid": made.msgid, "fail_list": None}

    def confirm(self, made: Made) -> None:
        """The member taps 发送."""
        made.sent_at = self.seconds()

    def mass_list(self, given: Json) -> Json:
        need(0 < given["end_time"] - given["start_time"] <= 31 * 86400, 40058, "a month at most")
        rows = [
            {"msgid": one.msgid, "create_time": str(self.seconds()), "create_type": 0, "text": {"content": one.text}}
            for one in self.made.values()
        ]
        return {"group_msg_list": rows or None, "next_cursor": ""}

    def mass_tasks(self, given: Json) -> Json:
        made = self.made[given["msgid"]]
        row: Json = {"userid": made.sender, "status": 2 if made.sent_at else 0}
        return {"task_list": [row | {"send_time": made.sent_at} if made.sent_at else row], "next_cursor": ""}

    def mass_results(self, given: Json) -> Json:
        made = self.made[given["msgid"]]
        need(given.get("userid") == made.sender, 41047, "userid")
        rows = [
            {"external_userid": each, "userid": made.sender, "status": "1", "send_time": str(made.sent_at)}
            if (made.sender, each) in self.friends
            else {"external_userid": each, "userid": made.sender, "status": 2}
            for each in made.targets
        ]
        return {"send_list": rows if made.sent_at else None, "next_cursor": None}

    def message(self, given: Json) -> Json:
        need(given.get("agentid") == AGENT, 40056, "agentid")
        userids = [each for each in given.get("touser", "").split("|") if each]
        need(userids and all(each in self.members for each in userids), 81013, "nobody of them")
        answer: Json = {"msgid": f"MSG{next(self._numbers)}", "invaliduser": ""}
        if given.get("msgtype") == "template_card":
            card = given["template_card"]
            need(bytes_of(card.get("task_id")) <= 128, 40058, "task_id")
            code = f"RC{next(self._numbers)}"
            self.card_codes[code] = self.now()
            self.cards.append(given)
            answer["response_code"] = code
        return answer

    def update_card(self, given: Json) -> Json:
        need(given.get("agentid") == AGENT and given.get("userids"), 40056, "agentid, userids")
        made = self.card_codes.pop(given.get("response_code", ""), None)
        need(made is not None and self.now() - made <= CARD_LIFE, 60140, "response_code used or too old")
        self.greyed.append(given["button"]["replace_name"])
        return {"invaliduser": None}

    def press(self) -> str:
        """A new code, as the event of a pressed button carries it."""
        code = f"RC{next(self._numbers)}"
        self.card_codes[code] = self.now()
        return code

    # Transfers ---------------------------------------------------------------------------------------------------

    def transfer(self, given: Json) -> Json:
        giver, taker = given["handover_userid"], given["takeover_userid"]
        chosen = given.get("external_userid") or []
        need(1 <= len(chosen) <= 100 and bytes_of(given.get("transfer_success_msg")) <= 600, 40058, "too many")
        rows = []
        for each in chosen:
            errcode = 0 if (giver, each) in self.friends else 40131
            if not errcode:
                planned = self.seconds() + 86400
                self.handed[giver, taker, each] = {"external_userid": each, "status": 2, "takeover_time": str(planned)}
            rows.append({"external_userid": each, "errcode": str(errcode)})
        return {"customer": rows}

    def transfer_result(self, given: Json) -> Json:
        pair = given["handover_userid"], given["takeover_userid"]
        rows = [row for key, row in self.handed.items() if key[:2] == pair]
        return {"customer": rows or None}

    # Customer service --------------------------------------------------------------------------------------------

    def kf_sync(self, given: Json) -> Json:
        need(given.get("open_kfid") == KF and int(given.get("limit") or 1000) <= 1000, 40058, "open_kfid, limit")
        if token := given.get("token"):
            made = self.kf_tokens.get(token)
            need(made is not None and self.now() - made <= timedelta(minutes=10), 95007, "invalid msg token")
        start = int(given.get("cursor") or 0)
        page = self.kf_messages[start : start + 1]  # few on a page, and an empty page in between is no end
        is_last = start + 1 >= len(self.kf_messages)
        return {"msg_list": page or None, "next_cursor": str(start + len(page)), "has_more": 0 if is_last else 1}

    def kf_state(self, given: Json) -> Json:
        return {"service_state": str(self.kf_states.get(given["external_userid"], 0))}

    def kf_trans(self, given: Json) -> Json:
        state, wanted = self.kf_states.get(given["external_userid"], 0), given.get("service_state")
        need(wanted in {0: (1, 2, 3), 1: (2, 3), 2: (3, 4), 3: (3, 4)}.get(state, ()), 95016, "bad change of state")
        self.kf_states[given["external_userid"]] = wanted
        return {"msg_code": None}

    def kf_send(self, given: Json) -> Json:
        spoken, left = self.kf_spoken.get(given.get("touser", ""), (None, 0))
        need(spoken is not None and self.now() - spoken <= KF_WINDOW, 95002, "over 48 hours")
        need(left > 0, 95001, "over five")
        need(self.kf_states.get(given["touser"], 0) < 2, 95018, "people answer now")
        need(bytes_of(given[given["msgtype"]].get("content")) <= 2048, 40058, "text")
        assert spoken is not None
        self.kf_spoken[given["touser"]] = spoken, left - 1
        self.kf_said.append((given["touser"], given["text"]["content"]))
        return {"msgid": given["msgid"]}

    def kf_send_on_event(self, given: Json) -> Json:
        made = self.kf_codes.pop(given.get("code", ""), None)
        need(made is not None and self.now() - made <= CODE_LIFE, 95007, "code used or too old")
        self.kf_said.append((given["code"], given["text"]["content"]))
        return {"msgid": given.get("msgid", "")}

    def kf_people(self, given: Json) -> Json:
        need(len(given["external_userid_list"]) <= 100, 40058, "a hundred at most")
        return {"customer_list": [{"external_userid": each} for each in given["external_userid_list"]]}

    def enter(self, external_userid: str, code: str) -> None:
        self.kf_codes[code] = self.now()
        event = {"event_type": "enter_session", "open_kfid": KF, "external_userid": external_userid}
        self._kf_tell(origin=4, msgtype="event", event={**event, "scene": None, "welcome_code": code})

    def say(self, external_userid: str, text: str) -> None:
        self.kf_spoken[external_userid] = self.now(), 5
        self._kf_tell(origin="3", msgtype="text", external_userid=external_userid, text={"content": text})

    def _kf_tell(self, **message: Any) -> None:
        number = next(self._numbers)
        head = {"msgid": f"kf{number}", "open_kfid": KF, "send_time": str(self.seconds())}
        self.kf_messages.append(head | message)


def _says(**answer: Any) -> Callable[[Corp, Json], Json]:
    return lambda corp, given: dict(answer)


_E, _G = "externalcontact/", "externalcontact/groupchat/"
ENDPOINTS: dict[str, tuple[str, Callable[[Corp, Json], Json]]] = {
    "department/simplelist": ("GET", _says(department_id=[{"id": "1", "parentid": 0, "order": "100"}])),
    "department/get": ("GET", _says(department={"id": 1, "name": "晴屿美妆"})),
    "user/simplelist": (
        "GET",
        lambda corp, given: {
            "userlist": [{"userid": key, "name": name, "department": [1]} for key, name in corp.members.items()]
        },
    ),
    "user/get": ("GET", Corp.user_get),
    "auth/getuserinfo": ("GET", Corp.user_info),
    "agent/get": ("GET", _says(name="晴屿", close=0)),
    f"{_E}get_follow_user_list": ("GET", lambda corp, given: {"follow_user": list(corp.members)}),
    f"{_E}batch/get_by_user": ("POST", Corp.batch_get),
    f"{_E}list": ("GET", Corp.list_of),
    f"{_E}get": ("GET", Corp.contact),
    f"{_E}send_welcome_msg": ("POST", Corp.welcome),
    f"{_E}get_corp_tag_list": ("POST", Corp.tag_list),
    f"{_E}add_corp_tag": ("POST", Corp.add_tag),
    f"{_E}mark_tag": ("POST", Corp.mark_tag),
    f"{_E}remark": ("POST", _says()),
    f"{_E}list_contact_way": ("POST", _says(contact_way=None)),
    f"{_E}customer_acquisition/list_link": ("POST", _says(link_id_list=None)),
    f"{_E}customer_acquisition_quota": ("GET", _says(total=None, balance="0")),
    f"{_E}get_unassigned_list": ("POST", _says(info=None, is_last=True)),
    f"{_G}list": ("POST", Corp.group_list),
    f"{_G}get": ("POST", Corp.group),
    f"{_E}add_msg_template": ("POST", Corp.mass_message),
    f"{_E}get_groupmsg_list_v2": ("POST", Corp.mass_list),
    f"{_E}get_groupmsg_task": ("POST", Corp.mass_tasks),
    f"{_E}get_groupmsg_send_result": ("POST", Corp.mass_results),
    "message/send": ("POST", Corp.message),
    "message/update_template_card": ("POST", Corp.update_card),
    f"{_E}transfer_customer": ("POST", Corp.transfer),
    f"{_E}transfer_result": ("POST", Corp.transfer_result),
    "kf/account/list": ("POST", _says(account_list=[{"open_kfid": KF, "name": "客服", "manage_privilege": True}])),
    "kf/sync_msg": ("POST", Corp.kf_sync),
    "kf/send_msg": ("POST", Corp.kf_send),
    "kf/send_msg_on_event": ("POST", Corp.kf_send_on_event),
    "kf/service_state/get": ("POST", Corp.kf_state),
    "kf/service_state/trans": ("POST", Corp.kf_trans),
    "kf/customer/batchget": ("POST", Corp.kf_people),
}
