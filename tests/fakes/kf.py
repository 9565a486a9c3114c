"""WeChat customer service, written apart from the sandbox: messages in pages, sessions, codes and the five answers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.wecom import FakeWeCom

Json = dict[str, Any]
KF = "wkTestAccount0000000000001"


class FakeKf:
    """`say` and `enter` are what customers do; `said` is what reached them."""

    def __init__(self, wecom: FakeWeCom, now: Callable[[], datetime]) -> None:
        self._now = now
        self.messages: list[Json] = []
        self.said: list[tuple[str, str]] = []  # (customer or code, text)
        self.msgids: set[str] = set()
        self.states: dict[str, int] = {}
        self.codes: dict[str, datetime] = {}
        self.customers: dict[str, Json] = {}
        self.page = 1000
        self.syncs = 0
        self._left: dict[str, tuple[datetime, int]] = {}
        for path, answer in {
            "kf/sync_msg": self._sync,
            "kf/send_msg": self._send,
            "kf/send_msg_on_event": self._send_on_event,
            "kf/service_state/get": lambda body: {"service_state": self.states.get(body["external_userid"], 0)},
            "kf/service_state/trans": self._trans,
            "kf/customer/batchget": lambda body: {
                "customer_list": [self.customers[one] for one in body["external_userid_list"] if one in self.customers]
            },
        }.items():
            wecom.always(path, answer)

    def say(self, customer: str, text: str, **more: Any) -> None:
        self._add(external_userid=customer, origin=3, msgtype="text", text={"content": text}, **more)
        self._left[customer] = (self._now(), 5)

    def show(self, customer: str, msgtype: str, content: Json) -> None:
        """A message that is no text."""
        self._add(external_userid=customer, origin=3, msgtype=msgtype, **{msgtype: content})
        self._left[customer] = (self._now(), 5)

    def enter(self, customer: str, code: str = "", scene: str = "", **more: Any) -> None:
        event = {"event_type": "enter_session", "open_kfid": KF, "external_userid": customer, "scene": scene}
        if code:
            event["welcome_code"] = code
            self.codes[code] = self._now()
        self._add(origin=4, msgtype="event", event=event, **more)

    def tell(self, event_type: str, customer: str, **fields: Any) -> None:
        event = {"event_type": event_type, "open_kfid": KF, "external_userid": customer, **fields}
        self._add(origin=4, msgtype="event", event=event)

    def _add(self, **message: Any) -> None:
        number = len(self.messages) + 1
        self.messages.append(
            {"msgid": f"msg{number}", "open_kfid": KF, "send_time": int(self._now().timestamp()), **message}
        )

    def _sync(self, body: Json) -> Json:
        self.syncs += 1
        assert body["open_kfid"] == KF
        if body.get("token", "").startswith("old"):
            return {"errcode": 95007, "errmsg": "invalid msg token"}
        start = int(body.get("cursor") or 0)
        page = self.messages[start : start + self.page]
        more = start + self.page < len(self.messages)
        return {"msg_list": page, "next_cursor": str(start + len(page)), "has_more": int(more)}

    def _send(self, body: Json) -> Json:
        customer, (at, left) = body["touser"], self._left.get(body["touser"], (self._now() - timedelta(days=9), 0))
        if body["msgid"] in self.msgids:
            return {"errcode": 95033, "errmsg": "duplicate msgid"}
        if self.states.get(customer, 0) > 1:
            return {"errcode": 95018, "errmsg": "send msg not allowed in this state"}
        assert left > 0, "over the five, and called all the same"
        assert self._now() - at <= timedelta(hours=48), "over the 48 hours, and called all the same"
        self._left[customer] = (at, left - 1)
        self.msgids.add(body["msgid"])
        self.said.append((customer, _seen(body)))
        return {"msgid": body["msgid"]}

    def _send_on_event(self, body: Json) -> Json:
        made = self.codes.pop(body["code"], None)
        if made is None or self._now() - made > timedelta(seconds=20):
            return {"errcode": 95007, "errmsg": "invalid code"}
        assert body["msgtype"] in ("text", "msgmenu"), "nothing else may answer an event"
        self.said.append((body["code"], _seen(body)))
        return {"msgid": body["msgid"]}

    def _trans(self, body: Json) -> Json:
        self.states[body["external_userid"]] = body["service_state"]
        return {"msg_code": "word"}


def _seen(body: Json) -> str:
    content = body[body["msgtype"]]
    if body["msgtype"] == "text":
        return str(content["content"])
    if body["msgtype"] == "msgmenu":
        (item,) = content["list"]
        inside = item[item["type"]]
        return f"{content['head_content']} [{inside['content']}]({inside.get('url') or inside['pagepath']})"
    return f"{body['msgtype']} {content['media_id']}"
