"""The welcome: which one, to whom, once; sent within the twenty seconds a welcome code lives (doc 92137).

`prepare` decides and writes the intent in one transaction, `deliver` calls WeCom and nothing else, `record` keeps what
came of it. Whatever is slow (the contact's name) runs beside them and may be late.
"""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from scrm.clock import Clock
from scrm.commerce import coupons
from scrm.contact_ways.plan import plan_of, welcome_of
from scrm.contact_ways.store import find_contact_way
from scrm.content import attachments as content
from scrm.content import programs
from scrm.content.media.copies import MESSAGE
from scrm.content.media.store import Living, find_living_by_name
from scrm.content.render import WELCOME_TEXT_BYTES, MissingVariable, cut_bytes, render
from scrm.db import insert_for
from scrm.events import Event
from scrm.profiles import store as profiles
from scrm.profiles.conditions import Whom, holding_for
from scrm.profiles.store import Contact, Relation, Standing
from scrm.sop import engine
from scrm.sop.content import Shop
from scrm.sop.enrol import last_run
from scrm.sop.models import send, task
from scrm.sop.schema import Channel, Content, Playbook, Step, When
from scrm.sop.triggers import starts
from scrm.sop.values import named_in, texts_of
from scrm.tracking import said_links
from scrm.wecom.client import WeCom
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.work import queue

CODE_LIFE = timedelta(seconds=20)
_MARGIN = timedelta(milliseconds=500)
_TASK_LIFE = timedelta(hours=24)
_NO_CONSENT_YET = 41053  # consent brings a new code, and the welcome with it


@dataclass(frozen=True, slots=True)
class Added:
    """A customer added a member: what the callback says, and when it came."""

    userid: str
    external_userid: str
    state: str
    welcome_code: str
    is_half: bool
    created_at: datetime
    received_at: datetime
    digest: bytes
    correlation: str
    # The customer agrees to the archiving of a chat that has begun: the relation is what WeCom says when asked.
    is_consent: bool = False

    @property
    def once(self) -> str:
        """What the ledger knows this welcome by: its code, of which only a hash is kept."""
        if not self.welcome_code:
            return f"welcome:event:{self.digest.hex()[:40]}"
        return f"welcome:{hashlib.sha256(self.welcome_code.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A welcome step and its playbook; without one the words are the channel's own."""

    playbook: Playbook | None
    step: Step

    @property
    def playbook_key(self) -> str:
        return self.playbook.key if self.playbook else ""

    @property
    def playbook_title(self) -> str:
        return self.playbook.title if self.playbook else "渠道欢迎语"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The intent as it stands in the ledger; `chosen` is None when nothing is to be sent."""

    send_id: int
    person_id: int
    # The event's name for playbooks and timeline: a half add that is confirmed is no second add.
    tells: str
    facts: Mapping[str, Any]
    chosen: Chosen | None = None
    is_settled: bool = False
    # A try before this one may have reached WeCom: we were killed before its outcome was written.
    was_begun: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    coupons: Mapping[str, content.CouponCard] = field(default_factory=dict)
    media: Mapping[str, Living] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: sent, done_by_other, too_late, failed; errcode is WeCom's last."""

    send_id: int
    outcome: str
    sent_at: datetime | None = None
    errcode: int = 0
    reason: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


def choose(playbooks: Iterable[Playbook], event: Event) -> list[Chosen]:
    """Every welcome whose trigger fits the add, the most particular first; pure."""
    fitting = [
        Chosen(playbook, step)
        for playbook in playbooks
        if starts(playbook.trigger, event)
        for step in playbook.steps
        if step.channel is Channel.WELCOME and step.content is not None
    ]
    return sorted(fitting, key=_rank)


def _rank(chosen: Chosen) -> tuple[int, str, str]:
    assert chosen.playbook is not None  # noqa: S101 - only playbooks are ranked
    return (-len(chosen.playbook.trigger.where), chosen.playbook.priority, chosen.playbook.key)


def say_as_channel(chosen: Chosen | None, text: str) -> Chosen | None:
    """The channel's own words go before the playbook's; its coupon and links come with them all the same. Pure."""
    if not text:
        return chosen
    if chosen is None or chosen.step.content is None:
        return Chosen(None, Step("channel", When(), Channel.WELCOME, content=Content(text)))
    return replace(chosen, step=replace(chosen.step, content=replace(chosen.step.content, text=text)))


@dataclass(frozen=True, slots=True)
class _Channel:
    """What contact.added tells of the channel (playbooks choose by it), and the channel's own welcome at this moment."""

    facts: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """An add whose contact and relation are in the database now."""

    added: Added
    event: Event
    contact: Contact
    member_name: str
    is_confirmation: bool
    standing: Standing
    channel_text: str

    @property
    def person_id(self) -> int:
        return self.contact.person_id

    @property
    def tells(self) -> str:
        return "contact.confirmed" if self.is_confirmation else "contact.added"


def prepare(conn: Connection, added: Added, playbooks: Sequence[Playbook], shop: Shop, *, now: datetime) -> Prepared:
    """`prepare_many` for one."""
    return prepare_many(conn, [added], playbooks, shop, now=now)[0]


def prepare_many(
    conn: Connection, adds: Sequence[Added], playbooks: Sequence[Playbook], shop: Shop, *, now: datetime
) -> list[Prepared]:
    """Know the contacts, choose their welcomes, issue the coupons and write the intents: all or nothing.

    The same code always meets the row of its first try: settled ones stay as they are, an intent without outcome (we
    were killed between the two) is gone on with, and WeCom's own 41051 tells when it had been sent after all.
    """
    known = _know(conn, adds, shop, now)
    admits = _Admits(conn, known, now)
    chosen = [_choose_first(playbooks, one, admits) for one in known]
    prepared = _intend(conn, list(zip(known, chosen, strict=True)), now)
    return _with_contents(conn, list(zip(known, prepared, strict=True)), shop, now)


def _know(conn: Connection, adds: Sequence[Added], shop: Shop, now: datetime) -> list[_Known]:
    contacts = profiles.ensure_contacts(conn, [added.external_userid for added in adds], now=now)
    before = profiles.find_standings(conn, contacts)
    channels = {state: _channel(conn, state, shop, now) for state in {added.state for added in adds}}
    names = {userid: _learn_member(conn, userid, now) for userid in {added.userid for added in adds}}
    known = []
    for added in adds:
        pair = (added.userid.lower(), added.external_userid)
        one = _known(
            added, contacts[added.external_userid], before.get(pair), channels[added.state], names[added.userid]
        )
        known.append(one)
        before[pair] = one.standing
    profiles.ensure_follow_users(conn, [_relation(one) for one in known if not one.added.is_consent])
    return known


def _known(added: Added, contact: Contact, before: Standing | None, channel: _Channel, member_name: str) -> _Known:
    """What an add means depends on how the relation stood `before` it."""
    if before is not None:
        added = replace(added, userid=before.userid)
    was_half = before is not None and before.is_half
    event = Event(
        "contact.added",
        added.created_at,
        contact.person_id,
        added.external_userid,
        added.userid,
        facts={**channel.facts, "is_half": added.is_half},
    )
    standing = Standing(added.userid, added.is_half and (before is None or was_half))
    return _Known(added, event, contact, member_name, was_half and not added.is_half, standing, channel.text)


def _relation(known: _Known) -> Relation:
    added = known.added
    return Relation(added.userid, added.external_userid, known.person_id, added.state, added.is_half, added.created_at)


class _Admits:
    """Whom of a batch a condition admits: asked once for all of them, each with his friendship and his add."""

    def __init__(self, conn: Connection, known: Sequence[_Known], now: datetime) -> None:
        self._conn, self._known, self._now = conn, known, now
        self._admitted: dict[int, set[int]] = {}

    def __call__(self, condition: Any, one: _Known) -> bool:
        if condition is None:
            return True
        if id(condition) not in self._admitted:
            whom = [_whom(each) for each in self._known]
            self._admitted[id(condition)] = holding_for(self._conn, condition, whom, self._now)
        return id(one) in self._admitted[id(condition)]


def _whom(one: _Known) -> Whom:
    """Known by its place in memory: one person may add two members in a batch."""
    event = one.event
    pair = event.userid, event.external_userid
    return Whom(id(one), one.person_id, *pair, facts=event.facts, anchor_at=event.occurred_at)


def _choose_first(playbooks: Sequence[Playbook], known: _Known, admits: _Admits) -> Chosen | None:
    if not known.added.welcome_code:
        return None
    for chosen in choose(playbooks, known.event):
        asked = (chosen.playbook.enter_if if chosen.playbook else None, chosen.step.condition)
        if all(admits(condition, known) for condition in asked):
            return say_as_channel(chosen, known.channel_text)
    return say_as_channel(None, known.channel_text)


def _intend(conn: Connection, wanted: Sequence[tuple[_Known, Chosen | None]], now: datetime) -> list[Prepared]:
    """The intents as they stand in the ledger now: ours, or those of an earlier try."""
    # Sorted, so that two processes which work the same adds do not wait for each other crosswise.
    rows = sorted((_intent(known, chosen, now) for known, chosen in wanted), key=itemgetter("once"))
    new = {row.once: row.id for row in conn.execute(_insert_intents(conn.dialect.name), rows)}
    earlier = _earlier_intents(conn, [row["once"] for row in rows if row["once"] not in new])
    prepared = []
    for known, chosen in wanted:
        once = known.added.once
        send_id = new.pop(once, None)  # of two equal adds in one batch the second meets the first one's row
        if send_id is None and once not in earlier:
            earlier |= _earlier_intents(conn, [once])
        was_begun = send_id is None
        is_settled = chosen is None or (was_begun and earlier[once].outcome != "intent")
        prepared.append(
            Prepared(
                earlier[once].id if send_id is None else send_id,
                known.person_id,
                known.tells,
                known.event.facts,
                None if is_settled else chosen,
                is_settled,
                was_begun and not is_settled,
            )
        )
    return prepared


def _intent(known: _Known, chosen: Chosen | None, now: datetime) -> dict[str, Any]:
    added = known.added
    return {
        "kind": "welcome",
        "userid": added.userid,
        "external_userid": added.external_userid,
        "person_id": known.person_id,
        "playbook_key": chosen.playbook_key if chosen else "",
        "step_id": chosen.step.id if chosen else "",
        "once": added.once,
        "received_at": added.received_at,
        "decided_at": now,
        "outcome": "intent" if chosen else "none",
        "reason": "" if chosen else _why_nothing(added, known.is_confirmation),
        "correlation": added.correlation,
    }


@cache
def _insert_intents(dialect: str) -> Any:
    return insert_for(dialect, send).on_conflict_do_nothing().returning(send.c.id, send.c.once)


def _earlier_intents(conn: Connection, onces: Sequence[str]) -> dict[str, Any]:
    if not onces:
        return {}
    rows = conn.execute(select(send.c.id, send.c.once, send.c.outcome).where(send.c.once.in_(onces)))
    return {str(row.once): row for row in rows}


def _learn_member(conn: Connection, userid: str, now: datetime) -> str:
    """The member's name; one that we do not know yet is '' and asked for, beside the welcome."""
    member = profiles.find_member(conn, userid)
    if member is not None:
        return str(member.alias or member.name)
    item = queue.Item(
        lane="sync",
        kind="member.refresh",
        payload={"userid": userid},
        dedupe_key=f"member.refresh:{userid.lower()}",
    )
    queue.add(conn, item, now=now)
    return ""


def _channel(conn: Connection, state: str, shop: Shop, now: datetime) -> _Channel:
    way = find_contact_way(conn, state) if state else None
    if way is None:
        return _Channel({"state": state})
    facts = {"state": state, "channel": {"kind": way.kind, "title": way.title}}
    return _Channel(facts, welcome_of(plan_of(way.plan), now, shop.zone))


def _why_nothing(added: Added, is_confirmation: bool) -> str:
    if added.welcome_code:
        return "没有匹配的欢迎语"
    if is_confirmation:
        return "员工通过了好友申请，欢迎语在客户添加时已经处理"
    return "企业微信没有给欢迎语 code：员工在企微后台已设欢迎语、已经开口聊过，或客户来自其他企业的企业微信"


def _with_contents(
    conn: Connection, intents: Sequence[tuple[_Known, Prepared]], shop: Shop, now: datetime
) -> list[Prepared]:
    """The values and coupons of what is to be sent; each batch issues to all who need it at once."""
    wanted: dict[str, set[tuple[int, str]]] = {}
    reasons = {}
    for known, prepared in intents:
        keys = _coupon_keys(prepared.chosen.step) if prepared.chosen else []
        if prepared.chosen and prepared.chosen.playbook and keys:
            reasons[prepared.send_id] = _coupon_reason(conn, prepared.chosen.playbook, known)
        for key in keys:
            wanted.setdefault(key, set()).add((known.person_id, reasons[prepared.send_id]))
    # In the order of their keys: each batch is locked.
    living = find_living_by_name(conn, _media_names(intents), MESSAGE, now)
    issued = {key: coupons.issue_many(conn, key, wanted[key], now=now) for key in sorted(wanted)}
    return [
        _with_content(
            known,
            prepared,
            issued,
            reasons.get(prepared.send_id, ""),
            shop,
            living,
            _links(conn, known, prepared, shop, now),
        )
        for known, prepared in intents
    ]


def _links(conn: Connection, known: _Known, prepared: Prepared, shop: Shop, now: datetime) -> dict[str, str]:
    """This customer's own links to radar content; nothing is asked where none is named."""
    said = prepared.chosen.step.content if prepared.chosen else None
    named = {key for text in texts_of(said) for key in named_in(text) if said_links.knows(key)} if said else set()
    if not named:
        return {}
    whom = said_links.Whom(known.added.userid, known.person_id, known.added.external_userid)
    return said_links.make(conn, named, whom, shop.public_url, now=now)


def _coupon_reason(conn: Connection, playbook: Playbook, known: _Known) -> str:
    last = None if known.contact.is_new else last_run(conn, playbook, known.person_id)
    return engine.coupon_reason(playbook.key, engine.run_key(playbook, known.event, last))


def _with_content(
    known: _Known,
    prepared: Prepared,
    issued: Mapping[str, Mapping[tuple[int, str], coupons.Issue]],
    reason: str,
    shop: Shop,
    living: Mapping[str, Living],
    links: Mapping[str, str],
) -> Prepared:
    if prepared.chosen is None:
        return prepared
    values: dict[str, Any] = {"shop": shop.name, "staff": known.member_name or "顾问"}
    cards = {}
    for key in _coupon_keys(prepared.chosen.step):
        issue = issued[key].get((known.person_id, reason))
        if issue is not None:  # else it is sold out
            cards[key] = coupons.card(issue, shop.public_url)
            values |= content.coupon_values(cards[key], zone=shop.zone)
    values |= links
    return replace(prepared, values=values, coupons=cards, media=living)


def _media_names(intents: Iterable[tuple[_Known, Prepared]]) -> set[str]:
    contents = (prepared.chosen.step.content for _, prepared in intents if prepared.chosen)
    return {programs.file_of(part) for said in contents if said for part in said.attachments} - {""}


def _coupon_keys(step: Step) -> list[str]:
    return [part["coupon"] for part in (step.content.attachments if step.content else ()) if "coupon" in part]


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to send_welcome_msg; `plain` is the text to fall back on when an attachment is refused."""

    text: str
    attachments: list[dict[str, Any]]
    plain: str
    # What could not be said, for the ledger.
    lacks: str = ""


def compose(prepared: Prepared, nickname: str, shop: Shop, *, now: datetime) -> Message:
    """Fill the chosen content; a nickname that is late is '' and a neutral word takes its place. Pure."""
    assert prepared.chosen is not None and prepared.chosen.step.content is not None  # noqa: PT018, S101
    said = prepared.chosen.step.content
    values = {**prepared.values, "nickname": nickname, "salutation": ""}
    try:
        text = render(said.text, values)
    except MissingVariable:
        # A coupon that is sold out: better a plain word than a broken sentence or nothing.
        text = f"您好，我是{values['staff']}，很高兴认识您，有任何问题随时找我。"
    attachments: list[dict[str, Any]] = []
    cards: list[content.LinkCard] = []
    lacks = []
    for part in said.attachments:
        name = programs.file_of(part)
        if name in prepared.media and programs.KIND in part:
            attachments += _program(part, values, prepared.media[name].media_id)
        elif name in prepared.media:
            attachments.append(content.welcome_media(prepared.media[name].kind, prepared.media[name].media_id))
        elif name:
            lacks.append(name)
        elif card := _card(part, prepared, values, shop, now):
            cards.append(card)
            attachments += content.welcome_attachments([card])
    links = "\n".join(f"{card.title}\n{card.url}" for card in cards)
    return Message(
        text=cut_bytes(text, WELCOME_TEXT_BYTES),
        attachments=attachments[: content.MAX_ATTACHMENTS],
        plain=cut_bytes(f"{text}\n{links}" if links else text, WELCOME_TEXT_BYTES),
        lacks=f"素材“{'”“'.join(lacks)}”还没有上传到企业微信，没有附上" if lacks else "",
    )


def _program(part: Mapping[str, Any], values: Mapping[str, Any], media_id: str) -> list[dict[str, Any]]:
    """Nothing for one that would say too little."""
    try:
        return [programs.server_message(programs.fill(part[programs.KIND], values), media_id)]
    except MissingVariable:
        return []


def _card(
    part: Mapping[str, Any], prepared: Prepared, values: Mapping[str, Any], shop: Shop, now: datetime
) -> content.LinkCard | None:
    """None for a coupon that is sold out, and for a link that would say too little."""
    if "coupon" in part and part["coupon"] not in prepared.coupons:
        return None
    try:
        return content.link_cards([part], prepared.coupons, values, now=now, zone=shop.zone)[0]
    except MissingVariable:
        return None


async def deliver(wecom: WeCom, clock: Clock, added: Added, message: Message, prepared: Prepared) -> Outcome:
    """Call WeCom until it is sent, was sent, or cannot be any more; at least one try, whatever the clocks say."""
    # Our clock and WeCom's may differ: a code that looks dead on arrival is tried once all the same.
    until = max(added.created_at + CODE_LIFE, min(added.received_at, clock.now()) + timedelta(seconds=1)) - _MARGIN
    kept = {"text": message.text, "attachments": message.attachments}
    text, attachments, pause = message.text, message.attachments, 0.4
    perhaps_sent = prepared.was_begun
    while True:
        try:
            await wecom.customer_messages.send_welcome_msg(added.welcome_code, text, attachments)
            return Outcome(prepared.send_id, "sent", clock.now(), reason=message.lacks, content=kept)
        except WeComError as error:
            if error.errcode in (41050, 41051):
                outcome, reason = _spent(error.errcode, perhaps_sent)
                sent_at = clock.now() if outcome == "sent" else None
                return Outcome(prepared.send_id, outcome, sent_at, error.errcode, reason, kept)
            if error.retry_class in (RetryClass.PARAMETER, RetryClass.MEDIA) and attachments:
                text, attachments = message.plain, []
                continue
            perhaps_sent = perhaps_sent or (isinstance(error, WeComUnreachable) and error.perhaps_done)
            if not _may_pass(error) or clock.now() + timedelta(seconds=pause) > until:
                outcome = "unknown" if perhaps_sent else "failed"
                return Outcome(prepared.send_id, outcome, None, error.errcode, _why_failed(error, perhaps_sent), kept)
        await clock.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        pause = min(pause * 2, 3.0)


def _spent(errcode: int, perhaps_sent: bool) -> tuple[str, str]:
    """The code cannot be used (any more): by whom it was used depends on what we did before."""
    if errcode == 41051:
        if perhaps_sent:
            return "sent", "上一次请求没有等到回应，企业微信确认欢迎语已经送达"
        return "done_by_other", "客户已经开口，或欢迎语已由其他应用发出，无需再发"
    if perhaps_sent:
        return "unknown", "上一次请求没有等到回应，20 秒已过，无法确认是否送达"
    return "too_late", "超过 20 秒，欢迎语 code 已失效"


def _why_failed(error: WeComError, perhaps_sent: bool) -> str:
    """The final reason: nothing is tried again after this."""
    if perhaps_sent:
        return "企业微信没有及时回应，无法确认欢迎语是否送达"
    if error.errcode == 41053:
        return "客户还没有同意会话存档，同意后会再发欢迎语"
    if error.errcode == 41096:
        return "其他应用一直占用着欢迎语，20 秒内没能发出"
    if _may_pass(error):
        return f"企业微信繁忙（{error.errcode}），20 秒内没能发出"
    return error.text


def _may_pass(error: WeComError) -> bool:
    """-1, 45009, 45033, time-outs, a token that another process replaced, and 41096 (another app may yet fail)."""
    return error.errcode == 41096 or error.retry_class in (
        RetryClass.TRANSIENT,
        RetryClass.TOKEN,
        RetryClass.WINDOW,
        RetryClass.CONFLICT,
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """An outcome with what is needed to ask the member for help when it is a bad one."""

    outcome: Outcome
    added: Added
    prepared: Prepared
    now: datetime


def record_many(conn: Connection, settled: list[Settled]) -> list[None]:
    """For `Database.together`: the ledger's outcome, and a task for the member when the customer got nothing."""
    conn.execute(_RECORD, [_outcome_row(one.outcome) for one in settled])
    for one in settled:
        if one.outcome.outcome in ("failed", "too_late", "unknown") and one.outcome.errcode != _NO_CONSENT_YET:
            _ask_member(conn, one)
    return [None] * len(settled)


_RECORD = update(send).where(send.c.id == bindparam("send_id"))


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "send_id": outcome.send_id,
        "outcome": outcome.outcome,
        "sent_at": outcome.sent_at,
        "errcode": outcome.errcode,
        "reason": outcome.reason[:300],
        "content": dict(outcome.content),
    }


def _ask_member(conn: Connection, settled: Settled) -> None:
    outcome, added, chosen = settled.outcome, settled.added, settled.prepared.chosen
    messages = [
        {"msgtype": "news", "news": {"link": link["url"], "title": link["title"], "desc": link.get("desc", "")}}
        for link in (part["link"] for part in outcome.content.get("attachments", ()) if part["msgtype"] == "link")
    ]
    conn.execute(
        task.insert().values(
            playbook_key=chosen.playbook_key if chosen else "",
            playbook_title=chosen.playbook_title if chosen else "",
            step_id=chosen.step.id if chosen else "",
            userid=added.userid,
            external_userid=added.external_userid,
            person_id=settled.prepared.person_id,
            title="欢迎语可能没有送达，请看一眼聊天"
            if outcome.outcome == "unknown"
            else "欢迎语没有送达，请亲自打个招呼",
            text=outcome.content.get("text", ""),
            attachments=messages,
            reason=outcome.reason[:300],
            open_at=settled.now,
            expires_at=settled.now + _TASK_LIFE,
            created_at=settled.now,
            correlation=added.correlation,
        )
    )
