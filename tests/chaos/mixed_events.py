"""A made-up month of a shop: every kind of callback, and what WeCom says in the end."""

import random
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes import wecom as fake
from tests.fakes.group_chats import FakeGroups
from tests.fakes.wecom import FakeWeCom, Json

BEGAN_AT = 1_772_416_800
LASTS = "wrMix1"  # one group is left of the longest month
MEMBERS = tuple(f"u_{number}" for number in range(8))


class FinalWeCom(FakeWeCom):
    """WeCom after everything has happened: it knows who follows whom, and which members are left."""

    def __init__(self) -> None:
        super().__init__()
        self.left: set[str] = set()

    def _decide(self, path: str, body: Json, request: web.Request) -> Json:
        answer = super()._decide(path, body, request)
        if path == "user/get" and answer["errcode"] == 0 and body["userid"] in self.left:
            return {"errcode": 60111, "errmsg": "userid not found"}
        return answer


LIBRARY: Json = {
    "group_id": "etGroup",
    "group_name": "来源",
    "tag": [{"id": f"etlive-{number}", "name": f"live-{number}", "order": 0} for number in range(1, 6)],
}


class Month:
    """`events` are distinct plain bodies in the order they happened; `alive` are the relations that are left."""

    def __init__(self, count: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._now = BEGAN_AT
        self._relations: dict[tuple[str, str], Json] = {}
        self.left: set[str] = set()
        self.events: list[tuple[str, str]] = []  # (what must stay in order, xml)
        self._groups = FakeGroups(FakeWeCom())
        self._customers = [f"wmMix{number:_>27}" for number in range(max(10, count // 12))]
        acts: list[Callable[[], None]] = [self._relate] * 14 + [self._edit] * 9 + [self._member] * 2
        acts += [self._group] * 2 + [self._other] * 3
        while len(self.events) < count:
            self._now += self._random.randint(1, 90)
            self._random.choice(acts)()

    @property
    def alive(self) -> set[tuple[str, str]]:
        return {pair for pair, follow in self._relations.items() if not follow["ended_by"]}

    def tell(self, wecom: FinalWeCom) -> None:
        """Put the end of the month into a WeCom."""
        wecom.left = self.left
        library = {"errcode": 0, "errmsg": "ok", "tag_group": [LIBRARY]}
        wecom.always("externalcontact/get_corp_tag_list", lambda body: library)
        for path, key in (("kf/sync_msg", "msg_list"), ("kf/account/list", "account_list")):
            wecom.always(path, lambda body, key=key: {"errcode": 0, "errmsg": "ok", "has_more": 0, key: []})
        groups = FakeGroups(wecom)
        groups.groups, groups.gone = self._groups.groups, self._groups.gone
        for (userid, external_userid), follow in self._relations.items():
            if follow["ended_by"] == "member" or follow["is_half"]:
                continue  # WeCom shows neither (84061)
            if external_userid not in wecom.contacts:
                wecom.add_contact(external_userid, f"客户{external_userid[-4:]}", userid)
                wecom.contacts[external_userid]["follow_user"] = []
            told = {key: value for key, value in follow.items() if key not in ("ended_by", "is_half")}
            wecom.contacts[external_userid]["follow_user"].append({"userid": userid, **told})

    def _event(self, subject: str, change_type: str, name: str = "change_external_contact", **fields: str) -> None:
        xml = fake.event_xml(change_type, created_at=self._now, event=name, **fields)
        if "FromUserName" in fields:
            xml = xml.replace("<FromUserName><![CDATA[sys]]></FromUserName>", "")
        self.events.append((subject, xml))

    def _relate(self) -> None:
        """The next chapter of a relation: it begins, is confirmed, or is ended by either side."""
        userid, external_userid = self._random.choice(MEMBERS), self._random.choice(self._customers)
        pair = {"UserID": userid, "ExternalUserID": external_userid}
        follow = self._relations.get((userid, external_userid))
        if follow is not None and not follow["ended_by"] and self._random.random() < 0.6:
            change_type = self._random.choice(["del_follow_user", "del_external_contact"])
            follow["ended_by"] = "customer" if change_type == "del_follow_user" else "member"
            self._event(external_userid, change_type, **pair)
            return
        is_half = (follow is None or bool(follow["ended_by"])) and self._random.random() < 0.2
        state = f"live-{self._random.randint(1, 5)}"
        code = {"WelcomeCode": f"code-{len(self.events)}"} if self._random.random() < 0.3 else {}
        self._event(
            external_userid, "add_half_external_contact" if is_half else "add_external_contact",
            **pair, State=state, **code,
        )  # fmt: skip
        self._relations[userid, external_userid] = {
            "createtime": self._now, "state": state, "remark": f"备注{len(self.events)}", "add_way": 1, "ended_by": "",
            "is_half": is_half,
            "tags": [{"group_name": "来源", "tag_name": state, "tag_id": f"et{state}", "type": 1}],
        }  # fmt: skip

    def _edit(self) -> None:
        if self._relations:
            userid, external_userid = self._random.choice(list(self._relations))
            pair = {"UserID": userid, "ExternalUserID": external_userid}
            rare = ["transfer_fail", "msg_audit_approved"]
            change_type = self._random.choice(rare) if self._random.random() < 0.1 else "edit_external_contact"
            self._event(external_userid, change_type, **pair, FailReason="customer_refused")

    def _member(self) -> None:
        userid = self._random.choice((*MEMBERS, "u_new", "u_other"))
        name = self._random.choice(["create_user", "update_user", "delete_user", "subscribe", "enter_agent"])
        if name in ("subscribe", "enter_agent"):
            self._event(userid, "", name, FromUserName=userid, AgentID="1000021")
            return
        (self.left.add if name == "delete_user" else self.left.discard)(userid)
        self._event(userid, name, "change_contact", UserID=userid, Department="1")

    def _group(self) -> None:
        groups, random = self._groups, self._random
        chat_id = f"wrMix{random.randint(1, 12)}"
        if chat_id in groups.gone:
            return
        if chat_id not in groups.groups:
            groups.create(chat_id, random.choice(MEMBERS), self._now, f"福利群{chat_id}")
        elif random.random() < 0.03 and chat_id != LASTS:
            groups.dismiss(chat_id, self._now)
        else:
            self._come_or_go(chat_id)
        self.events += [(chat_id, xml) for xml in groups.take()]

    def _come_or_go(self, chat_id: str) -> None:
        customer = self._random.choice(self._customers)
        seated = {row["userid"] for row in self._groups.groups[chat_id]["member_list"]}
        (self._groups.leave if customer in seated else self._groups.join)(chat_id, self._now, customer)

    def _other(self) -> None:
        number = str(len(self.events))
        name, change_type, fields = self._random.choice(OTHERS)
        fields = {**fields, "UserID": "u_1", "ExternalUserID": "wmNobody"} if "LinkId" in fields else fields
        self._event(name, change_type, name, **fields, Number=number)


OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("change_external_tag", "update", {"Id": "et1", "TagType": "tag"}),
    ("change_external_tag", "create", {"Id": "et1", "TagType": "tag"}),
    ("change_external_tag", "delete", {"Id": "etGone", "TagType": "tag_group"}),
    ("change_external_tag", "shuffle", {"Id": ""}),
    ("customer_acquisition", "balance_low", {}),
    ("customer_acquisition", "balance_exhausted", {}),
    ("customer_acquisition", "quota_expire_soon", {"ExpireTime": "1785900000", "ExpireQuotaNum": "120"}),
    ("customer_acquisition", "link_unavailable", {"LinkId": "ca1"}),
    ("customer_acquisition", "friend_request", {"LinkId": "ca1"}),
    ("customer_acquisition", "customer_start_chat", {"LinkId": "ca1"}),
    ("customer_acquisition", "message_from_customer", {"LinkId": "ca1", "ChatKey": "CK"}),
    ("customer_acquisition", "del_follow_user", {"LinkId": "ca1"}),
    ("change_contact", "create_party", {"Id": "8", "Name": "直播组", "ParentId": "3"}),
    ("change_contact", "update_tag", {"TagId": "5", "AddUserItems": "u_1"}),
    ("template_card_event", "", {"FromUserName": "u_1", "EventKey": "done", "TaskId": "t-7", "ResponseCode": "RC"}),
    ("kf_msg_or_event", "", {"Token": "T", "OpenKfId": "wkMix"}),
    ("kf_account_auth_change", "", {"AuthAddOpenKfId": "wkMix"}),
    ("batch_job_result", "", {"AgentID": "1000021"}),
    ("upload_media_job_finish", "", {"JobId": "jobid_1"}),
    ("click", "", {"FromUserName": "u_1", "EventKey": "today"}),
    ("LOCATION", "", {"Latitude": "23.1"}),
    ("msgaudit_notify", "", {"AgentID": "2000004"}),
    ("change_the_moon", "full", {}),
    ("change_external_contact", "add_external_contact", {"UserID": "u_1"}),  # about nobody
]
