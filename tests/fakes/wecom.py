"""A WeCom on loopback, independent of the sandbox: it answers, remembers calls, and fails when told to."""

import asyncio
import base64
import hashlib
import os
import struct
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CORP_ID = "ww7f2c19e0a4d83b56"
AGENT_ID = 1000021
SECRET = "s3cret-of-the-app"
TOKEN = "LhVq8sScrm2Token"
AES_KEY = "b5SDOPurRyYHpww0sA7k0AMq2qdb8Mi8E8IJsFo6Bos"

Json = dict[str, Any]
Answer = Json | int | Callable[[Json], Json]


class FakeWeCom:
    """`calls` has (path, body or query) in order; `say(path, ...)` queues answers, an int is an errcode."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []
        self.delay = 0.0
        self.contacts: dict[str, Json] = {}
        self.used_codes: Counter[str] = Counter()
        self.tokens_given = 0
        # Answers that are made and wait for this before they go out: the world goes on meanwhile.
        self.held: dict[str, asyncio.Event] = {}
        self.under_way: Counter[str] = Counter()
        self.most_under_way: Counter[str] = Counter()
        self._queued: dict[str, deque[Answer]] = defaultdict(deque)
        self._always: dict[str, Callable[[Json], Json]] = {}
        self.app = web.Application()
        self.app.router.add_route("*", "/cgi-bin/{path:.+}", self._answer)

    def say(self, path: str, *answers: Answer) -> None:
        self._queued[path].extend(answers)

    def always(self, path: str, answer: Callable[[Json], Json]) -> None:
        """What a path answers when nothing is queued for it."""
        self._always[path] = answer

    def forget(self, *paths: str) -> None:
        """Answers that nobody has asked for; all of them without a path."""
        for path in paths or list(self._queued):
            self._queued[path].clear()

    def called(self, path: str) -> list[Json]:
        return [body for called, body in self.calls if called == path]

    def add_contact(self, external_userid: str, name: str, userid: str, **more: Any) -> None:
        follow = {
            "userid": userid,
            "remark": name,
            "createtime": 1772416800,
            "add_way": 1,
            "tags": [],
            **more.pop("follow", {}),
        }
        self.contacts[external_userid] = {
            "external_contact": {"external_userid": external_userid, "name": name, "type": 1, "gender": 2, **more},
            "follow_user": [follow],
        }

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        body = await request.json() if request.can_read_body else dict(request.query)
        body.pop("access_token", None)
        self.calls.append((path, body))
        self.under_way[path] += 1
        self.most_under_way[path] = max(self.most_under_way[path], self.under_way[path])
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            answer = web.json_response(self._decide(path, body, request))
            if path in self.held:
                await self.held[path].wait()
            return answer
        finally:
            self.under_way[path] -= 1

    def _decide(self, path: str, body: Json, request: web.Request) -> Json:
        if self._queued[path]:
            answer = self._queued[path].popleft()
            if callable(answer):
                return answer(body)
            return {"errcode": answer, "errmsg": "told to fail"} if isinstance(answer, int) else answer
        ok: Json = {"errcode": 0, "errmsg": "ok"}
        if path == "gettoken":
            self.tokens_given += 1
            return {**ok, "access_token": f"token-{self.tokens_given}", "expires_in": 7200}
        if request.query.get("access_token") != f"token-{self.tokens_given}":
            return {"errcode": 40014, "errmsg": "invalid access_token"}
        if path in self._always:
            return {**ok, **self._always[path](body)}
        if path == "externalcontact/get":
            contact = self.contacts.get(body.get("external_userid", ""))
            return {**ok, **contact} if contact else {"errcode": 84061, "errmsg": "not external contact"}
        if path == "externalcontact/send_welcome_msg":
            self.used_codes[body["welcome_code"]] += 1
            if self.used_codes[body["welcome_code"]] > 1:
                return {"errcode": 41051, "errmsg": "externaluser has started chatting"}
        if path in ("get_jsapi_ticket", "ticket/get"):
            return {**ok, "ticket": f"ticket-of-{path}", "expires_in": 7200}
        if path == "externalcontact/add_corp_tag":
            tags = [{"id": f"et{tag['name']}", "name": tag["name"]} for tag in body["tag"]]
            return {**ok, "tag_group": {"group_id": "etGroup", "group_name": body["group_name"], "tag": tags}}
        if path == "externalcontact/get_corp_tag_list":
            return {**ok, "tag_group": []}
        if path == "message/send":
            return {**ok, "msgid": f"MSGID-{len(self.calls)}"}
        if path == "user/get":
            return {**ok, "userid": body["userid"], "name": body["userid"].title(), "status": 1}
        return ok


def encrypt(message: bytes, receive_id: str = CORP_ID, aes_key: str = AES_KEY) -> str:
    """WeCom's side of the envelope, written apart from the product's."""
    key = base64.b64decode(aes_key + "=")
    raw = os.urandom(16) + struct.pack(">I", len(message)) + message + receive_id.encode()
    raw += bytes([32 - len(raw) % 32]) * (32 - len(raw) % 32)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(raw) + encryptor.finalize()).decode()


def sign(encrypted: str, timestamp: str, nonce: str, token: str = TOKEN) -> str:
    return hashlib.sha1("".join(sorted([token, timestamp, nonce, encrypted])).encode()).hexdigest()


def callback(message: str | bytes, *, receive_id: str = CORP_ID, token: str = TOKEN) -> tuple[dict[str, str], str]:
    """Query and body of a POST, with a nonce and ciphertext of its own."""
    encrypted = encrypt(message if isinstance(message, bytes) else message.encode(), receive_id)
    timestamp, nonce = "1772416800", os.urandom(6).hex()
    query = {"msg_signature": sign(encrypted, timestamp, nonce, token), "timestamp": timestamp, "nonce": nonce}
    body = (
        f"<xml><ToUserName><![CDATA[{receive_id}]]></ToUserName><AgentID><![CDATA[{AGENT_ID}]]></AgentID>"
        f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    )
    return query, body


def event_xml(change_type: str, *, created_at: int, event: str = "change_external_contact", **fields: str) -> str:
    """The plain XML of an event; elements in the order given."""
    parts = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items())
    return (
        f"<xml><ToUserName><![CDATA[{CORP_ID}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
        f"<CreateTime>{created_at}</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{event}]]></Event>"
        f"<ChangeType><![CDATA[{change_type}]]></ChangeType>{parts}</xml>"
    )
