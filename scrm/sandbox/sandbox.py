"""The sandbox as one object: what people do in it, and the web server part of it."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp

from scrm.clock import Clock, SystemClock
from scrm.errors import Conflict, Invalid, NotFound

from .config import SandboxConfig
from .deliveries import Deliveries, Delivery
from .endpoints.cards import INTERACTIVE
from .envelope import xml_document
from .faults import Faults
from .gateway import CallRecord, Gateway
from .identity import Identity
from .messages import Message
from .world import (
    ContactWay,
    Member,
    Pair,
    PairState,
    Tag,
    TagGroup,
    WechatUser,
    WelcomeCode,
    World,
    pick_color,
)

SETTLED = (PairState.FRIEND, PairState.HALF)


class Sandbox:
    """A local WeCom with one corp and one app; its state lives as long as the object."""

    def __init__(self, config: SandboxConfig, clock: Clock, http: aiohttp.ClientSession) -> None:
        self.config = config
        self.clock = clock
        self.faults = Faults()
        self.world = World(config.corp_id, departments=[config.corp_name])
        self.identity = Identity(self.faults)
        self.gateway = Gateway(self.world, self.identity, self.faults, config, clock)
        self.gateway.after = self.tell_echoes
        self.deliveries = Deliveries(config, self.faults, clock, http)
        self._confirmations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Nothing runs by itself; deliveries begin with the first event."""

    async def stop(self) -> None:
        """End what is under way."""
        for task in self._confirmations:
            task.cancel()
        await asyncio.gather(*self._confirmations, return_exceptions=True)
        await self.deliveries.stop()

    async def settle(self) -> None:
        """Wait until every callback under way has ended, with its repeats."""
        await self.deliveries.settle()

    # The cast

    def add_member(
        self, userid: str, name: str, avatar_color: str = "", department: str = "", position: str = "导购"
    ) -> Member:
        """Somebody of the corp who may serve customers."""
        number = self.world.department_id(department) if department else 1
        member = Member(userid, name, avatar_color or pick_color(userid), number, position)
        self.world.members[userid.casefold()] = member
        self.world.touch()
        return member

    def add_wechat_user(
        self,
        key: str,
        name: str,
        gender: int = 0,
        unionid: str | None = None,
        phone: str | None = None,
        corp_name: str = "",
    ) -> WechatUser:
        """Somebody with WeChat, or with WeCom in another corp; the external_userid follows from the corp and the key."""
        external_userid = self.world.make_id("wo" if corp_name else "wm", key)
        user = WechatUser(key, name, gender, external_userid, unionid, phone, pick_color(key + name), corp_name)
        self.world.put_wechat_user(user)
        return user

    def add_tag_group(self, name: str, tags: Iterable[str]) -> TagGroup:
        """Corp tags made in the admin console; their ids follow from the names."""
        now = self.clock.now()
        group = TagGroup(self.world.make_id("et", f"group/{name}"), name, now)
        group.tags = [Tag(self.world.make_id("et", f"tag/{name}/{tag}"), tag, now) for tag in tags]
        self.world.tag_groups.append(group)
        self.world.touch()
        return group

    def add_contact_way_seed(
        self, state: str, title: str, userids: Iterable[str], skip_verify: bool = True, config_id: str = ""
    ) -> str:
        """A channel code that is there from the start; its config_id follows from the state."""
        names = [self.get_member(userid).userid for userid in userids]
        config_id = config_id or self.world.make_id("", f"seed/{state}")
        self.world.contact_ways[config_id] = ContactWay(
            config_id,
            self.clock.now(),
            type=2 if len(names) > 1 else 1,
            remark=title,
            state=state,
            skip_verify=skip_verify,
            userids=names,
        )
        self.world.touch()
        return config_id

    def add_contact_seed(
        self,
        wechat_user_key: str,
        userid: str,
        *,
        created_at: datetime | None = None,
        state: str = "",
        remark: str = "",
        mobiles: Iterable[str] = (),
        tag_ids: Iterable[str] = (),
    ) -> Pair:
        """A friendship that is there from the start, without a callback; the app learns of it by syncing."""
        user, member = self.get_wechat_user(wechat_user_key), self.get_member(userid)
        pair = Pair(member.userid, user.external_userid, PairState.FRIEND, created_at or self.clock.now())
        pair.channel, pair.remark = state, remark
        pair.remark_mobiles, pair.tag_ids, pair.has_chatted = list(mobiles), list(tag_ids), True
        self.world.put_pair(pair)
        return pair

    # What customers do

    async def scan(self, wechat_user_key: str, config_id: str) -> str:
        """A customer scans a channel code and adds the member; gives the external_userid.

        With skip_verify the half-added event goes out at once and the member confirms a little later
        (`faults.member_confirms_after`); else the member must accept first. Friends just open their chat.
        """
        user = self.get_wechat_user(wechat_user_key)
        way = self.world.contact_ways.get(config_id)
        if way is None:
            raise NotFound("这个渠道码已失效，请让商家换一个新的。")
        userid = self.choose_member(user, way)
        pair = self.world.find_pair(userid, user.external_userid)
        if pair and pair.state in SETTLED:
            return user.external_userid
        way.scans += 1
        pair = self._renew(pair, userid, user, way)
        if pair.state == PairState.HALF:
            self._announce_add(pair, "add_half_external_contact")
            self._confirm_later(pair)
        self.world.touch()
        return user.external_userid

    def choose_member(self, user: WechatUser, way: ContactWay) -> str:
        """Whoever knows the customer already, else the member of the code with the fewest customers."""
        departments = {m.userid for m in self.world.members.values() if m.department in way.party}
        userids = list(dict.fromkeys(way.userids + sorted(departments)))
        if not userids:
            raise NotFound("这个渠道码没有可接待的成员。")
        known = [pair.userid for pair in self.world.pairs_of_customer(user.external_userid) if pair.userid in userids]
        return known[0] if known else min(userids, key=self.world.count_pairs)

    def _renew(self, old: Pair | None, userid: str, user: WechatUser, way: ContactWay) -> Pair:
        state = PairState.HALF if way.skip_verify else PairState.ASKED
        pair = Pair(userid, user.external_userid, state, self.clock.now(), channel=way.state)
        if old and old.state == PairState.LEFT:
            # The member never deleted the customer, so the notes are still there.
            pair.remark, pair.description, pair.tag_ids = old.remark, old.description, list(old.tag_ids)
            pair.remark_mobiles, pair.remark_company = list(old.remark_mobiles), old.remark_company
        self.world.put_pair(pair)
        if way.skip_verify:
            words = f"你已添加了{self.get_member(userid).name}，现在可以开始聊天了。"
        else:
            words = "已发送添加请求，等待对方验证。"
        self._notice(pair, words, "customer")
        return pair

    def _confirm_later(self, pair: Pair) -> None:
        seconds = self.faults.member_confirms_after
        if seconds is None:
            return

        async def confirm() -> None:
            await SystemClock().sleep(seconds)
            if pair.state == PairState.HALF:
                await self.confirm(pair.userid, pair.external_userid)

        task = asyncio.get_running_loop().create_task(confirm())
        self._confirmations.add(task)
        task.add_done_callback(self._confirmations.discard)

    async def delete_member(self, wechat_user_key: str, userid: str) -> None:
        """The customer deletes the member: one-way from now on, event del_follow_user."""
        user = self.get_wechat_user(wechat_user_key)
        pair = self.get_pair(userid, user.external_userid)
        if pair.state not in SETTLED:
            raise Conflict("你们已经不是好友了。")
        pair.state = PairState.LEFT
        self.world.touch()
        self._push("顾客删除员工", "change_external_contact", "del_follow_user", self._ids(pair))

    async def agree_to_archiving(self, wechat_user_key: str, userid: str) -> None:
        """The customer agrees to the archiving of the chat: event msg_audit_approved, with a code while it is of use."""
        pair = self.get_pair(userid, self.get_wechat_user(wechat_user_key).external_userid)
        if pair.state not in SETTLED:
            raise Conflict("你们还不是好友，重新扫码添加后才能同意。")
        fields = self._ids(pair)
        if not pair.has_chatted and not self.faults.no_welcome_code:
            fields.append(("WelcomeCode", self._make_welcome_code(pair)))
        self._push("顾客同意会话存档", "change_external_contact", "msg_audit_approved", fields)

    # What members do

    async def confirm(self, userid: str, external_userid: str) -> None:
        """The member accepts; the event carries a code unless the half-added one did its work or they chat already."""
        pair = self.get_pair(userid, external_userid)
        if pair.state not in (PairState.HALF, PairState.ASKED):
            raise Conflict("没有待通过的好友申请。")
        pair.state = PairState.FRIEND
        name = self.get_customer(external_userid).name
        self._notice(pair, f"你已添加了{name}，现在可以开始聊天了。", "member")
        self._announce_add(pair, "add_external_contact", with_code=not pair.has_chatted)

    async def delete_contact(self, userid: str, external_userid: str) -> None:
        """The member deletes the customer: calls answer 84061 from now on, event del_external_contact."""
        pair = self.get_pair(userid, external_userid)
        if pair.state == PairState.DELETED:
            raise Conflict("这位顾客已经删除过了。")
        pair.state = PairState.DELETED
        self.world.touch()
        self._push("员工删除顾客", "change_external_contact", "del_external_contact", self._ids(pair))

    async def edit_contact(
        self,
        userid: str,
        external_userid: str,
        remark: str | None = None,
        mobiles: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        description: str | None = None,
    ) -> None:
        """The member changes notes or tags (ids) in the client: event edit_external_contact."""
        pair = self.get_pair(userid, external_userid)
        for tag_id in tags or ():
            if self.world.find_tag(tag_id) is None:
                raise Invalid(f"没有这个标签：{tag_id}")
        pair.remark = pair.remark if remark is None else remark
        pair.description = pair.description if description is None else description
        pair.remark_mobiles = pair.remark_mobiles if mobiles is None else list(mobiles)
        pair.tag_ids = pair.tag_ids if tags is None else list(tags)
        self.world.touch()
        self._push("员工修改备注或标签", "change_external_contact", "edit_external_contact", self._ids(pair))

    async def say(
        self, userid: str, external_userid: str, text: str, sender: Literal["member", "customer"] = "member"
    ) -> Message:
        """Somebody types into the chat; WeCom tells no callback of it."""
        pair = self.get_pair(userid, external_userid)
        if not text.strip():
            raise Invalid("不能发送空白消息。")
        if sender == "customer" and pair.state not in SETTLED:
            raise Conflict("你们还不是好友，重新扫码添加后才能聊天。")
        if sender == "customer" and pair.state == PairState.HALF:
            pair.has_chatted = True
        return self.world.append(pair, self.clock.now(), sender, "text", {"content": text.strip()})

    async def press_card(self, userid: str, msgid: str, key: str, selected: dict[str, list[str]] | None = None) -> None:
        """The member presses a button of a template card: event template_card_event with a fresh ResponseCode."""
        member = self.get_member(userid)
        inbox = self.world.app_messages.get(member.userid, [])
        message = next((m for m in inbox if m.msgid == msgid and m.body["msgtype"] == "template_card"), None)
        if message is None:
            raise NotFound("找不到这条应用消息。")
        card = message.body["template_card"]
        code = self.world.make_id("", f"response/{self.world.next_number()}", 43)
        self.world.response_codes[code] = (msgid, self.clock.now())
        is_button = card["card_type"] in INTERACTIVE and key != "menu"
        event = "template_card_event" if is_button else "template_card_menu_event"
        fields: list[tuple[str, str | int]] = [
            ("EventKey", key),
            ("TaskId", str(card.get("task_id", ""))),
            ("CardType", card["card_type"]),
            ("ResponseCode", code),
            ("AgentID", self.config.agent_id),
        ]
        plain = self._event(event, "", fields, sender=member.userid)
        if selected:
            plain = plain.replace("</xml>", _selected_items(selected) + "</xml>")
        self.deliveries.push("员工点击模板卡片", plain)

    # What one may look at

    def chat(self, userid: str, external_userid: str) -> list[Message]:
        """The messages of a member and a customer, oldest first; notices of the client included."""
        return list(self.world.chats.get((self.get_member(userid).userid, external_userid), []))

    @property
    def call_log(self) -> list[CallRecord]:
        """The last 200 calls of the server API."""
        return list(self.gateway.calls)

    @property
    def delivery_log(self) -> list[Delivery]:
        """The last 200 callbacks."""
        return list(self.deliveries.log)

    def get_member(self, userid: str) -> Member:
        """The member, else NotFound."""
        member = self.world.find_member(userid)
        if member is None:
            raise NotFound(f"沙箱里没有成员 {userid}。")
        return member

    def get_wechat_user(self, key: str) -> WechatUser:
        """The WeChat user, else NotFound."""
        if key not in self.world.wechat_users:
            raise NotFound(f"沙箱里没有微信用户 {key}。")
        return self.world.wechat_users[key]

    def get_customer(self, external_userid: str) -> WechatUser:
        """The WeChat user behind an external_userid, else NotFound."""
        user = self.world.find_customer(external_userid)
        if user is None:
            raise NotFound(f"沙箱里没有顾客 {external_userid}。")
        return user

    def get_pair(self, userid: str, external_userid: str) -> Pair:
        """The relation, else NotFound."""
        pair = self.world.find_pair(userid, external_userid)
        if pair is None:
            raise NotFound(f"成员 {userid} 与这位顾客没有好友关系。")
        return pair

    @property
    def public_host(self) -> str:
        """Host and port that the pages are meant to be opened with."""
        return urlsplit(self.config.public_url).netloc

    # Events

    def _announce_add(self, pair: Pair, change_type: str, with_code: bool = True) -> None:
        fields = self._ids(pair)
        if pair.channel:
            fields.append(("State", pair.channel))
        # To a colleague of another corp WeCom itself sends the member's name card (doc 92130).
        if with_code and not self.faults.no_welcome_code and not self.get_customer(pair.external_userid).corp_name:
            fields.append(("WelcomeCode", self._make_welcome_code(pair)))
        title = "顾客添加员工（待确认）" if change_type.startswith("add_half") else "添加好友成功"
        self._push(title, "change_external_contact", change_type, fields)

    def _make_welcome_code(self, pair: Pair) -> str:
        now = self.clock.now()
        code = self.world.make_id("WC", f"{pair.external_userid}/{self.world.next_number()}/{now.timestamp()}", 43)
        # The 20 seconds run from CreateTime, which has whole seconds.
        created_at = now.replace(microsecond=0)
        self.world.welcome_codes[code] = WelcomeCode(code, pair.userid, pair.external_userid, created_at)
        return code

    def tell(self, title: str, event: str, fields: list[tuple[str, str | int]], change_type: str = "") -> None:
        """Push an event; `title` is for the console's list."""
        self._push(title, event, change_type, fields)

    def later(self, work: "Coroutine[Any, Any, None]") -> None:
        """Something that happens in its time, unless the sandbox stops before."""
        task = asyncio.get_running_loop().create_task(work)
        self._confirmations.add(task)
        task.add_done_callback(self._confirmations.discard)

    def _ids(self, pair: Pair) -> list[tuple[str, str | int]]:
        return [("UserID", pair.userid), ("ExternalUserID", pair.external_userid)]

    def put_in_range(self, userid: str, is_visible: bool) -> None:
        """The app's visible range is changed in the console: event subscribe or unsubscribe, from the member."""
        member, hidden = self.get_member(userid), self.world.out_of_range
        if is_visible != (member.userid in hidden):
            raise Conflict(f"{member.name}已经{'在' if is_visible else '不在'}应用的可见范围里。")
        (hidden.discard if is_visible else hidden.add)(member.userid)
        event, title = ("subscribe", "员工进入可见范围") if is_visible else ("unsubscribe", "员工移出可见范围")
        fields: list[tuple[str, str | int]] = [("EventKey", ""), ("AgentID", self.config.agent_id)]
        self.deliveries.push(title, self._event(event, "", fields, sender=member.userid))
        self.world.touch()

    def tell_echoes(self) -> None:
        """What calls have changed, as events (faults.echo_edits)."""
        while self.world.echoes:
            userid, external_userid = self.world.echoes.pop(0)
            fields: list[tuple[str, str | int]] = [("UserID", userid), ("ExternalUserID", external_userid)]
            self._push("接口修改备注或标签", "change_external_contact", "edit_external_contact", fields)

    def _push(self, title: str, event: str, change_type: str, fields: list[tuple[str, str | int]]) -> None:
        # Of members out of its visible range an app hears nothing (doc 92129).
        if not any(name == "UserID" and value in self.world.out_of_range for name, value in fields):
            self.deliveries.push(title, self._event(event, change_type, fields))
        self.world.touch()

    def _event(self, event: str, change_type: str, fields: list[tuple[str, str | int]], sender: str = "sys") -> str:
        head: list[tuple[str, str | int]] = [
            ("ToUserName", self.config.corp_id),
            ("FromUserName", sender),
            ("CreateTime", int(self.clock.now().timestamp())),
            ("MsgType", "event"),
            ("Event", event),
        ]
        if change_type:
            head.append(("ChangeType", change_type))
        return xml_document(head + fields)

    def _notice(self, pair: Pair, words: str, reader: str) -> None:
        self.world.append(pair, self.clock.now(), "system", "notice", {"content": words, "reader": reader}, "system")


def _selected_items(selected: dict[str, list[str]]) -> str:
    items = []
    for question, options in selected.items():
        ids = "".join(f"<OptionId><![CDATA[{option}]]></OptionId>" for option in options)
        key = f"<QuestionKey><![CDATA[{question}]]></QuestionKey>"
        items.append(f"<SelectedItem>{key}<OptionIds>{ids}</OptionIds></SelectedItem>")
    return f"<SelectedItems>{''.join(items)}</SelectedItems>"
