"""The customer's phone, the member's desk and the console of the sandbox."""

import io
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

import segno
from aiohttp import web

from scrm.errors import NotFound

from .endpoints.listing import ENDPOINTS
from .endpoints.media import file_response
from .group_chats import Group
from .login import MEMBER_COOKIE
from .messages import Message
from .rendering import FOLDER, Pages
from .sandbox import Sandbox
from .world import AppMessage, ContactWay, Member, Pair, PairState, WechatUser

SILENCE = timedelta(minutes=5)
# For each trouble its title, what its number means (nothing: it has none) and a number to begin with.
TROUBLE_TITLES = {
    "errcode": ("返回错误码", "错误码", -1),
    "status": ("返回 HTTP 错误页", "HTTP 状态", 502),
    "garbage": ("应答不是 JSON", "", 0),
    "hang_up": ("不执行就断开", "", 0),
    "latency": ("应答变慢", "毫秒", 3000),
    "drip": ("应答一点点到", "毫秒", 3000),
    "cut": ("应答只到一半", "", 0),
    "lost": ("执行了但不应答", "", 0),
}
APP = "app"
# A page that lists a seeded shop shows so many.
MOST_USERS = 200
AVATAR_FILLS = {
    "blue": "#4b7bec",
    "teal": "#2a9d8f",
    "violet": "#7b61ff",
    "orange": "#e8804a",
    "rose": "#d65a7c",
    "green": "#3ba55d",
    "indigo": "#4a5fc1",
    "amber": "#c98a1b",
}


@dataclass(frozen=True)
class Line:
    """One line of a chat as a window shows it."""

    message: Message
    is_mine: bool
    shows_time: bool
    author: tuple[str, str] | None = None


@dataclass(frozen=True)
class Row:
    """One row of a chat list."""

    pair: Pair
    member: Member
    user: WechatUser
    last: Message | None


class SandboxPages:
    """Server-rendered pages; their scripts poll the /screen fragments."""

    def __init__(self, sandbox: Sandbox, pages: Pages) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.pages = pages

    # The customer's phone

    async def phone(self, request: web.Request) -> web.Response:
        """?user=KEY&with=USERID; &scan=CONFIG_ID opens the name card of a code, as a scanned picture does."""
        users = self.world.first_users(MOST_USERS)
        if not users:
            return self._notice("还没有微信用户", "演示数据还没有加载，请稍后刷新。")
        user = self.world.wechat_users.get(request.query.get("user", ""), users[0])
        cards = [self._card(user, way) for way in self.world.contact_ways.values() if way.scene == 2]
        scanned = request.query.get("scan", "")
        values = self._phone_values(user, request.query.get("with", ""))
        values |= {"title": f"{user.name}的手机", "users": users[:12], "cards": cards, "scanned": scanned}
        return self.pages.respond("phone.html", values)

    async def phone_screen(self, request: web.Request) -> web.Response:
        """The part of the phone that changes by itself."""
        user = self.world.wechat_users.get(request.query.get("user", ""))
        if user is None:
            return web.Response(status=404)
        values = self._phone_values(user, request.query.get("with", ""))
        return self.pages.fragment(request, "phone_screen.html", values)

    def _phone_values(self, user: WechatUser, userid: str) -> dict[str, object]:
        pair = self.world.find_pair(userid, user.external_userid) if userid else None
        if pair and pair.state == PairState.LEFT:
            pair = None
        lines = self._lines(pair, "customer") if pair else []
        member = self.world.find_member(userid) if pair else None
        pairs = [p for p in self.world.pairs_of_customer(user.external_userid) if p.state != PairState.LEFT]
        return {"user": user, "pair": pair, "member": member, "lines": lines, "rows": self._rows(pairs, "customer")}

    def _card(self, user: WechatUser, way: ContactWay) -> tuple[ContactWay, Member | None]:
        try:
            return way, self.world.find_member(self.sandbox.choose_member(user, way))
        except NotFound:  # a code without members is shown, and says so when scanned
            return way, None

    # The member's desk

    async def desk(self, request: web.Request) -> web.Response:
        """?member=USERID&with=EXTERNAL_USERID, a group's chat_id or app; remembers the member for the login page."""
        members = list(self.world.members.values())
        if not members:
            return self._notice("还没有成员", "演示数据还没有加载，请稍后刷新。")
        known = request.cookies.get(MEMBER_COOKIE, "")
        member = self.world.find_member(request.query.get("member", "") or known) or members[0]
        values = self._desk_values(member, request.query.get("with", ""))
        values |= {"title": f"{member.name}的工作台", "members": members, "groups": self.world.tag_groups}
        response = self.pages.respond("desk.html", values)
        response.set_cookie(MEMBER_COOKIE, member.userid, path="/", samesite="Lax", httponly=True)
        if known != member.userid:
            self._drop_session(response)
        return response

    def _drop_session(self, response: web.Response) -> None:
        """In WeCom each member has a client of their own; here they share one browser and its cookies."""
        for name in self.sandbox.config.session_cookies:
            for path in ("/", "/sidebar", "/sidebar/"):
                response.headers.add("Set-Cookie", f"{name}=; Max-Age=0; Path={path}")

    async def desk_screen(self, request: web.Request) -> web.Response:
        """The chat list and the chat, without the frame beside it."""
        member = self.world.find_member(request.query.get("member", ""))
        if member is None:
            return web.Response(status=404)
        values = self._desk_values(member, request.query.get("with", ""))
        return self.pages.fragment(request, "desk_screen.html", values)

    def _desk_values(self, member: Member, other: str) -> dict[str, object]:
        pair = self.world.find_pair(member.userid, other) if other != APP else None
        if pair and pair.state == PairState.DELETED:
            pair = None
        group = self.world.find_group(member.userid, other)
        newest = self.world.pairs_of_member(member.userid)[-MOST_USERS:]
        pairs = [pair for pair in newest if pair.state != PairState.DELETED]
        inbox = self.world.app_messages.get(member.userid, [])
        return {
            "me": member,
            "pair": pair,
            "user": self.world.find_customer(pair.external_userid) if pair else None,
            "group": group,
            "beside": _beside(member, pair, group),
            "chat_groups": self._groups(member),
            "shows_app": other == APP,
            "lines": self._group_lines(group, member) if group else self._lines(pair, "member") if pair else [],
            "inbox": inbox,
            "last_app_text": _summary_of_app(inbox[-1]) if inbox else "任务提醒会出现在这里",
            "mass_messages": self.world.sending.mass_messages_of(member.userid),
            "moments": self.world.sending.moments_of(member.userid),
            "rows": self._rows(pairs, "member"),
            "tag_names": self._tag_names(pair) if pair else [],
        }

    def _tag_names(self, pair: Pair) -> list[str]:
        found = (self.world.find_tag(tag_id) for tag_id in pair.tag_ids)
        return [tag.name for _, tag in filter(None, found)]

    # Both

    def _lines(self, pair: Pair, reader: str) -> list[Line]:
        lines: list[Line] = []
        for message in self.world.chats.get((pair.userid, pair.external_userid), []):
            if not _is_shown(message, reader):
                continue
            gap = not lines or message.at - lines[-1].message.at > SILENCE
            lines.append(Line(message, message.sender == reader, gap))
        return lines

    def _groups(self, member: Member) -> list[Group]:
        groups = self.world.group_chats.groups
        return [group for group in groups.values() if self.world.find_group(member.userid, group.chat_id)]

    def _group_lines(self, group: Group, reader: Member) -> list[Line]:
        lines: list[Line] = []
        for userid, message in group.said:
            author = self.world.members[userid]
            gap = not lines or message.at - lines[-1].message.at > SILENCE
            lines.append(Line(message, userid == reader.userid, gap, (author.name, author.avatar_color)))
        return lines

    def _rows(self, pairs: list[Pair], reader: str) -> list[Row]:
        rows = []
        for pair in pairs:
            member, user = self.world.find_member(pair.userid), self.world.find_customer(pair.external_userid)
            shown = [m for m in self.world.chats.get((pair.userid, pair.external_userid), []) if _is_shown(m, reader)]
            if member and user:
                rows.append(Row(pair, member, user, shown[-1] if shown else None))
        return sorted(rows, key=lambda row: row.last.at if row.last else row.pair.created_at, reverse=True)

    # The console

    async def console(self, request: web.Request) -> web.Response:
        """Three links, the clock, the fault switches and the two logs."""
        return self.pages.respond("index.html", {"title": "沙箱总览", **self._console_values()})

    async def console_screen(self, request: web.Request) -> web.Response:
        """The logs."""
        return self.pages.fragment(request, "index_screen.html", self._console_values())

    def _console_values(self) -> dict[str, object]:
        sandbox = self.sandbox
        return {
            "faults": sandbox.faults,
            "troubles": TROUBLE_TITLES,
            "endpoints": sorted(ENDPOINTS),
            "usage": sorted(sandbox.gateway.usage.items(), key=lambda item: -item[1].calls),
            "calls": sandbox.call_log[::-1],
            "deliveries": sandbox.delivery_log[::-1],
            "members": list(self.world.members.values()),
            "users": self.world.first_users(MOST_USERS),
        }

    # Pictures and files

    async def qr(self, request: web.Request) -> web.Response:
        """The picture of a channel code; scanned with a real phone it opens the phone page."""
        config_id = request.match_info["config_id"]
        if config_id not in self.world.contact_ways:
            return web.Response(status=404)
        address = f"{self.sandbox.config.base_url}/phone?{urlencode({'scan': config_id})}"
        code = segno.make(address, error="m")
        return web.Response(body=_png(code), content_type="image/png")

    async def avatar(self, request: web.Request) -> web.Response:
        """A square with one character, as the WeChat avatar's stand-in."""
        user = self.world.wechat_users.get(request.match_info["key"])
        if user is None:
            return web.Response(status=404)
        letter = self.pages.render("avatar.svg", {"name": user.name, "fill": AVATAR_FILLS[user.avatar_color]})
        return web.Response(text=letter, content_type="image/svg+xml")

    async def media(self, request: web.Request) -> web.Response:
        """An uploaded file, for the chat windows."""
        media = self.world.find_media(request.match_info["media_id"], self.sandbox.clock.now())
        if media is None:
            return web.Response(status=404)
        return file_response(media, as_download=not media.content_type.startswith(("image/", "video/")))

    async def bridge(self, request: web.Request) -> web.Response:
        """The script that makes a page believe it is inside WeCom; load it before the SDK."""
        delay = f"window.sandboxBridgeDelay = {int(self.sandbox.faults.bridge_delay_ms)};\n"
        text = delay + (FOLDER / "static" / "bridge.js").read_text("utf-8")
        return web.Response(text=text, content_type="text/javascript", headers={"Cache-Control": "no-store"})

    def _notice(self, title: str, text: str) -> web.Response:
        return self.pages.respond("notice.html", {"title": title, "text": text})


def _beside(member: Member, pair: Pair | None, group: Group | None) -> dict[str, str]:
    """What the client tells the page in its sidebar."""
    if group:
        return {"member": member.userid, "chat_id": group.chat_id, "entry": "group_chat_tools"}
    known = {"member": member.userid, "external_userid": pair.external_userid if pair else ""}
    return known | {"entry": "single_chat_tools" if pair else "normal"}


def _is_shown(message: Message, reader: str) -> bool:
    if message.sender == "system":
        return bool(message.content["reader"] == reader)
    return message.is_delivered or message.sender == reader


def _summary_of_app(message: AppMessage) -> str:
    if message.is_recalled:
        return "消息已撤回"
    kind = message.body["msgtype"]
    content = message.body[kind]
    if kind == "template_card":
        main = content.get("main_title") or {}
        return str(main.get("title") or content.get("sub_title_text", "[模板卡片]"))
    return str(content.get("title") or content.get("content") or f"[{kind}]")


def _png(code: segno.QRCode) -> bytes:
    out = io.BytesIO()
    code.save(out, kind="png", scale=8, border=2)
    return out.getvalue()
