"""What the pages and tests do to the sandbox over HTTP: people's actions, the clock and the fault switches."""

import dataclasses
import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from aiohttp import web

from scrm.errors import Conflict, Invalid, ScrmError

from . import confirming, gathering, handing, talking
from .endpoints.listing import ENDPOINTS
from .faults import NEEDS_VALUE, TROUBLES, Faults
from .messages import Message
from .rendering import ZONE
from .sandbox import Sandbox
from .seeding import Seed, seed
from .world import Json

LONGEST_JUMP = timedelta(days=366)
MOST_IN_BURST = 5_000
MOST_SHOWN = 5_000
NEXT_DAY = re.compile(r"tomorrow (\d{1,2}):(\d{2})")
Act = Callable[[Json], Awaitable[Json]]


class Control:
    """POST {base}/api/<act> with a JSON object; the answer is a JSON object, an error {"error": text}."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._acts: dict[str, Act] = {
            "scan": self.scan,
            "confirm": self.confirm,
            "say": self.say,
            "delete_member": self.delete_member,
            "agree_to_archiving": self.agree_to_archiving,
            "delete_contact": self.delete_contact,
            "edit_contact": self.edit_contact,
            "card": self.card,
            "confirm_mass_message": self.confirm_mass_message,
            "personal_mass_message": self.personal_mass_message,
            "publish_moment": self.publish_moment,
            "react_to_moment": self.react_to_moment,
            "finish_upload": self.finish_upload,
            "wechat_user": self.wechat_user,
            "member_range": self.member_range,
            "burst": self.burst,
            "seed": self.seed,
            "clock": self.clock,
            "faults": self.faults,
            "fail_next": self.fail_next,
            "trouble": self.trouble,
            "heal": self.heal,
            "expire_tokens": self.expire_tokens,
            "verify_url": self.verify_url,
        }
        self._views: dict[str, Callable[[web.Request], Json]] = {
            "state": self.state,
            "chat": self.chat,
            "app_messages": self.app_messages,
            "calls": self.calls,
            "deliveries": self.deliveries,
            "sending": self.sending,
            "usage": self.usage,
        }
        self._acts |= gathering.acts(sandbox)
        self._acts |= handing.acts(sandbox) | talking.acts(sandbox)
        handing.watch(sandbox)
        self._views["groups"] = lambda _: gathering.shown(sandbox)

    async def index(self, request: web.Request) -> web.Response:
        """GET {base}/api: everything that can be done and seen here, with the words of its function."""
        base = f"{self.sandbox.config.base_path}/api"
        return _json(
            {
                "acts": {
                    name: {"post": f"{base}/{name}", "body": _first_line(act)} for name, act in self._acts.items()
                },
                "views": {name: {"get": f"{base}/{name}", "says": _first_line(v)} for name, v in self._views.items()},
                "troubles": TROUBLES,
                "switches": _faults(self.sandbox.faults),
                "endpoints": sorted(ENDPOINTS),
            }
        )

    async def act(self, request: web.Request) -> web.Response:
        """POST: only as application/json, so that no other site's form can do it."""
        name = request.match_info["name"]
        if name not in self._acts:
            return web.json_response({"error": f"没有这个操作：{name}"}, status=404)
        try:
            body = await _read(request)
            return _json(await self._acts[name](body))
        except ScrmError as error:
            return _json({"error": error.text}, status=error.status)

    async def view(self, request: web.Request) -> web.Response:
        """GET: what is there now."""
        name = request.match_info["name"]
        if name not in self._views:
            return web.json_response({"error": f"没有这个视图：{name}"}, status=404)
        try:
            return _json(self._views[name](request))
        except ScrmError as error:
            return _json({"error": error.text}, status=error.status)

    # Acts

    async def scan(self, body: Json) -> Json:
        """{user, config_id}"""
        external_userid = await self.sandbox.scan(_text(body, "user"), _text(body, "config_id"))
        way = self.sandbox.world.contact_ways[body["config_id"]]
        userid = self.sandbox.choose_member(self.sandbox.get_wechat_user(body["user"]), way)
        return {"external_userid": external_userid, "userid": userid}

    async def confirm(self, body: Json) -> Json:
        """{userid, external_userid}"""
        await self.sandbox.confirm(_text(body, "userid"), _text(body, "external_userid"))
        return {}

    async def say(self, body: Json) -> Json:
        """{userid, external_userid, from: member | customer, text}"""
        sender = body.get("from", "member")
        if sender not in ("member", "customer"):
            raise Invalid(f"from 应为 member 或 customer，收到「{sender}」。")
        text, userid = _text(body, "text"), _text(body, "userid")
        message = await self.sandbox.say(userid, _text(body, "external_userid"), text, sender)
        return {"message": _message(message)}

    async def delete_member(self, body: Json) -> Json:
        """{user, userid}"""
        await self.sandbox.delete_member(_text(body, "user"), _text(body, "userid"))
        return {}

    async def agree_to_archiving(self, body: Json) -> Json:
        """{user, userid}"""
        await self.sandbox.agree_to_archiving(_text(body, "user"), _text(body, "userid"))
        return {}

    async def delete_contact(self, body: Json) -> Json:
        """{userid, external_userid}"""
        await self.sandbox.delete_contact(_text(body, "userid"), _text(body, "external_userid"))
        return {}

    async def edit_contact(self, body: Json) -> Json:
        """{userid, external_userid, remark?, description?, mobiles?, tags?}"""
        await self.sandbox.edit_contact(
            _text(body, "userid"),
            _text(body, "external_userid"),
            remark=body.get("remark"),
            mobiles=body.get("mobiles"),
            tags=body.get("tags"),
            description=body.get("description"),
        )
        return {}

    async def card(self, body: Json) -> Json:
        """{userid, msgid, key, selected?: {question_key: [option id]}}"""
        await self.sandbox.press_card(
            _text(body, "userid"), _text(body, "msgid"), _text(body, "key"), body.get("selected")
        )
        return {}

    async def confirm_mass_message(self, body: Json) -> Json:
        """{userid, msgid, chat_ids?}: the member sends what the app prepared."""
        chats = body.get("chat_ids") or []
        return confirming.confirm_mass_message(self.sandbox, _text(body, "userid"), _text(body, "msgid"), chats)

    async def personal_mass_message(self, body: Json) -> Json:
        """{userid, text, external_userids}: a member's own mass message."""
        targets = [str(each) for each in body.get("external_userids") or []]
        userid, text = _text(body, "userid"), _text(body, "text")
        return {"msgid": confirming.send_personal_mass_message(self.sandbox, userid, text, targets)}

    async def publish_moment(self, body: Json) -> Json:
        """{userid, moment_id}"""
        confirming.publish_moment(self.sandbox, _text(body, "userid"), _text(body, "moment_id"))
        return {}

    async def react_to_moment(self, body: Json) -> Json:
        """{userid, external_userid, moment_id, kind: like | comment}"""
        names = [_text(body, name) for name in ("userid", "external_userid", "moment_id", "kind")]
        confirming.react_to_moment(self.sandbox, *names)
        return {}

    async def finish_upload(self, body: Json) -> Json:
        """{jobid}: tell the app that upload_by_url is done."""
        confirming.tell_upload_finished(self.sandbox, _text(body, "jobid"))
        return {}

    async def wechat_user(self, body: Json) -> Json:
        """{name, key?, gender?, unionid?, phone?, corp_name?}: with corp_name a WeCom user of another corp."""
        name = _text(body, "name")
        key = str(body.get("key") or f"guest{self.sandbox.world.next_number()}")
        if key in self.sandbox.world.wechat_users:
            raise Conflict(f"已经有微信用户 {key}。")
        user = self.sandbox.add_wechat_user(
            key,
            name,
            int(body.get("gender", 0)),
            body.get("unionid") or None,
            body.get("phone") or None,
            str(body.get("corp_name") or ""),
        )
        return {"key": user.key, "external_userid": user.external_userid}

    async def member_range(self, body: Json) -> Json:
        """{userid, visible: true | false}: the member enters or leaves the app's visible range."""
        visible = body.get("visible")
        if not isinstance(visible, bool):
            raise Invalid(f"visible 应为 true 或 false，收到「{visible}」。")
        self.sandbox.put_in_range(_text(body, "userid"), visible)
        return {}

    async def burst(self, body: Json) -> Json:
        """{config_id, count}: that many new customers scan at once."""
        config_id, count = _text(body, "config_id"), body.get("count")
        if not isinstance(count, int) or not 1 <= count <= MOST_IN_BURST:
            raise Invalid(f"count 应为 1 到 {MOST_IN_BURST} 的整数，收到「{count}」。")
        for _ in range(count):
            number = self.sandbox.world.next_number()
            user = self.sandbox.add_wechat_user(f"burst{number}", f"顾客{number}")
            await self.sandbox.scan(user.key, config_id)
        return {"count": count}

    async def seed(self, body: Json) -> Json:
        """{customers, members?, departments?}: a grown shop, without callbacks; 100,000 customers take seconds."""
        numbers = {name: body[name] for name in ("customers", "members", "departments") if name in body}
        if "customers" not in numbers or not all(type(value) is int for value in numbers.values()):
            raise Invalid('customers 应为整数，members、departments 可不写；例如 {"customers": 1000}。')
        return dict(await seed(self.sandbox, Seed(**numbers)))

    async def clock(self, body: Json) -> Json:
        """{advance_seconds} or {to: ISO time or "tomorrow HH:MM"}; only forward, at most a year."""
        advance = getattr(self.sandbox.clock, "advance", None)
        if advance is None:
            raise Conflict("现在用的是真实时间，不能快进；请用 demo 或 sandbox 模式启动。")
        by = self._jump(body)
        if not timedelta() <= by <= LONGEST_JUMP:
            raise Invalid("时间只能往前走，一次最多一年。")
        advance(by)
        self.sandbox.world.touch()
        return {"now": self.sandbox.clock.now().isoformat()}

    def _jump(self, body: Json) -> timedelta:
        now, seconds, to = self.sandbox.clock.now(), body.get("advance_seconds"), body.get("to")
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
            return timedelta(seconds=min(max(seconds, -1), LONGEST_JUMP.total_seconds() + 1))
        if isinstance(to, str) and (match := NEXT_DAY.fullmatch(to)) and int(match[1]) < 24 and int(match[2]) < 60:
            local = now.astimezone(ZONE) + timedelta(days=1)
            return local.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0) - now
        try:
            target = datetime.fromisoformat(str(to))
        except ValueError:
            raise Invalid(f"to 应为 ISO 时间，例如 2026-12-01T10:00:00+08:00，收到「{to}」。") from None
        return (target if target.tzinfo else target.replace(tzinfo=ZONE)) - now

    async def faults(self, body: Json) -> Json:
        """Any fields of Faults, for instance {"drop_callbacks": 1}."""
        for name, value in body.items():
            setattr(self.sandbox.faults, name, _fault_value(name, value))
        self.sandbox.world.touch()
        return _faults(self.sandbox.faults)

    async def fail_next(self, body: Json) -> Json:
        """{endpoint, errcode, times?}: the next calls of an endpoint are refused."""
        errcode, times = body.get("errcode"), body.get("times", 1)
        if not isinstance(errcode, int) or not isinstance(times, int) or times < 1:
            raise Invalid(f"errcode 和 times 应为整数，收到「{errcode}」和「{times}」。")
        self.sandbox.faults.fail_next(_text(body, "endpoint"), errcode, times)
        self.sandbox.world.touch()
        return {}

    async def trouble(self, body: Json) -> Json:
        """{endpoint, kind, value?, times?}: the next calls go wrong; endpoint may hold *, times 0 lasts until heal."""
        endpoint, kind = _text(body, "endpoint"), _text(body, "kind")
        value, times = body.get("value", 0), body.get("times", 1)
        if kind not in TROUBLES:
            raise Invalid(f"没有这种故障：{kind}，可选 {'、'.join(TROUBLES)}。")
        if type(value) is not int or type(times) is not int or times < 0:
            raise Invalid(f"value 应为整数，times 应为不小于 0 的整数，收到「{value}」和「{times}」。")
        least, most = NEEDS_VALUE.get(kind, (value, value))
        if not least <= value <= most:
            raise Invalid(f"{kind} 的 value 应在 {least} 到 {most} 之间，收到「{value}」。")
        if "*" not in endpoint and endpoint not in ENDPOINTS:
            raise Invalid(f"沙箱没有接口 {endpoint}；可写 /cgi-bin/ 之后的路径，也可用 *，例如 externalcontact/*。")
        made = self.sandbox.faults.make_trouble(endpoint, kind, value, times)
        self.sandbox.world.touch()
        return dataclasses.asdict(made)

    async def heal(self, body: Json) -> Json:
        """{number?}: end one trouble; without a number all of them, and every switch is as at the start."""
        number = body.get("number")
        if number is not None and type(number) is not int:
            raise Invalid(f"number 应为故障的编号，收到「{number}」。")
        self.sandbox.faults.heal(number)
        self.sandbox.world.touch()
        return _faults(self.sandbox.faults)

    async def expire_tokens(self, body: Json) -> Json:
        """{errcode?: 42001 | 40014}: every access token dies now; calls with it are answered with this code."""
        errcode = body.get("errcode", self.sandbox.faults.expired_token_errcode)
        if errcode not in (42001, 40014):
            raise Invalid(f"errcode 应为 42001（过期）或 40014（被收回），收到「{errcode}」。")
        self.sandbox.faults.expired_token_errcode = errcode
        self.sandbox.identity.expire_tokens(self.sandbox.clock.now())
        self.sandbox.world.touch()
        return {}

    async def verify_url(self, body: Json) -> Json:
        """{}: does what the admin console does when the callback address is saved."""
        problem = await self.sandbox.deliveries.verify_url()
        return {"ok": not problem, "problem": problem}

    # Views

    def state(self, request: web.Request) -> Json:
        """Everything but chats and logs; of customers and relations the first five thousand."""
        world = self.sandbox.world
        return {
            "now": self.sandbox.clock.now().isoformat(),
            "members": [dataclasses.asdict(member) for member in world.members.values()],
            "wechat_users": [dataclasses.asdict(user) for user in world.first_users(MOST_SHOWN)],
            "contact_ways": [dataclasses.asdict(way) for way in world.contact_ways.values()],
            "pairs": [dataclasses.asdict(pair) for pair in islice(world.pairs.values(), MOST_SHOWN)],
            "tags": [{"id": tag.id, "name": tag.name, "group": g.name} for g in world.tag_groups for tag in g.tags],
            "faults": _faults(self.sandbox.faults),
        }

    def chat(self, request: web.Request) -> Json:
        """?userid=&external_userid="""
        messages = self.sandbox.chat(request.query.get("userid", ""), request.query.get("external_userid", ""))
        return {"messages": [_message(message) for message in messages]}

    def app_messages(self, request: web.Request) -> Json:
        """?userid="""
        member = self.sandbox.get_member(request.query.get("userid", ""))
        inbox = self.sandbox.world.app_messages.get(member.userid, [])
        return {"messages": [dataclasses.asdict(message) for message in inbox]}

    def sending(self, request: web.Request) -> Json:
        """Mass messages and moments, with what waits for whom."""
        return dataclasses.asdict(self.sandbox.world.sending)

    def calls(self, request: web.Request) -> Json:
        """?endpoint=&errcode= narrow the last two hundred calls."""
        endpoint, errcode = request.query.get("endpoint"), request.query.get("errcode")
        calls = [
            dataclasses.asdict(call)
            for call in self.sandbox.call_log
            if endpoint in (None, call.endpoint) and errcode in (None, str(call.errcode))
        ]
        return {"calls": calls}

    def usage(self, request: web.Request) -> Json:
        """How often each endpoint was called and refused, and the most calls in any minute and at one time."""
        counted = self.sandbox.gateway.usage.items()
        fields = ("calls", "refused", "most_in_a_minute", "most_at_once")
        return {"endpoints": {path: {name: getattr(usage, name) for name in fields} for path, usage in counted}}

    def deliveries(self, request: web.Request) -> Json:
        """The callbacks with their plain text and their tries."""
        return {"deliveries": [dataclasses.asdict(delivery) for delivery in self.sandbox.delivery_log]}


def _first_line(act: Callable[..., Any]) -> str:
    return (act.__doc__ or "").strip().partition("\n")[0]


def _json(value: Json, status: int = 200) -> web.Response:
    return web.json_response(
        value, status=status, dumps=lambda thing: json.dumps(thing, ensure_ascii=False, default=_plain)
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _message(message: Message) -> Json:
    return dataclasses.asdict(message)


def _faults(faults: Faults) -> Json:
    return dataclasses.asdict(faults)


def _fault_value(name: str, value: Any) -> Any:
    known = {field.name: field for field in dataclasses.fields(Faults)}
    if name not in known or name in ("errcodes", "troubles"):
        raise Invalid(f"没有这个开关：{name}")
    if name == "retry_delays":
        return tuple(float(item) for item in value)
    if name == "member_confirms_after":
        return None if value is None else float(value)
    expected = type(known[name].default)
    if type(value) is not expected:
        raise Invalid(f"开关 {name} 应为 {'true 或 false' if expected is bool else '整数'}，收到「{value}」。")
    if isinstance(value, int) and value < 0:
        raise Invalid(f"开关 {name} 不能小于 0，收到「{value}」。")
    return value


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"缺少 {name}，应为一段文字。")
    return value


async def _read(request: web.Request) -> Json:
    if request.content_type != "application/json":
        raise Invalid(f"请求体应为 application/json，收到 {request.content_type}。")
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Invalid("请求体应为一个 JSON 对象。")
    return body
