"""Fills what a step says, for a whole batch: each table is asked once, and only for what the texts name."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, and_, func, select

from scrm import events
from scrm.commerce import coupons
from scrm.commerce.models import order_line, orders, shipment
from scrm.content.attachments import CouponCard, chat_attachments, chat_media, coupon_values, link_cards, media_name
from scrm.content.media.copies import MESSAGE
from scrm.content.media.store import find_living_by_name
from scrm.content.render import CHAT_TEXT_CHARS, MissingVariable, render, variables_of
from scrm.errors import Conflict, ScrmError
from scrm.profiles import custom_fields
from scrm.profiles.models import external_contact, follow_user
from scrm.sop import store
from scrm.sop.engine import coupon_reason
from scrm.sop.facts import Due
from scrm.sop.schema import Content

_OF_ORDERS = {"last_product", "last_order_tail", "carrier", "parcel_tail"}
_OF_COUPONS = "coupon."
_OF_FIELDS = "field."
_OF_TRIGGER = "trigger."


@dataclass(frozen=True, slots=True)
class Shop:
    """What texts and links need of the settings."""

    name: str
    public_url: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its chat messages (sendChatMessage).

    Or why it cannot be said: `problem` when something is missing, `needless` when it would be wrong to say it.
    """

    text: str = ""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    needless: str = ""


def fill(conn: Connection, one: Due, values: dict[str, Any], shop: Shop, now: datetime) -> Filled:
    """What the step says to this person; its coupon is issued now, or is the one the run has given already."""
    said = one.content
    cards: dict[str, CouponCard] = {}
    for key in _coupon_keys(one, said):
        try:
            issue = _issue(conn, one, key, now)
        except ScrmError as error:
            return Filled(problem=error.text)
        if issue.state_at(now) != "issued":
            return Filled(needless=f"优惠券“{issue.title}”{issue.word_at(now)}，不再提醒")
        cards[key] = coupons.card(issue, shop.public_url)
        # With several coupons {{ coupon.* }} speaks of the first.
        values = {**coupon_values(cards[key], zone=shop.zone), **values}
    try:
        text = render(said.text, values)
        attachments = [
            _file(part) or chat_attachments(link_cards([part], cards, values, now=now, zone=shop.zone))[0]
            for part in said.attachments
        ]
    except MissingVariable as error:
        return Filled(problem=str(error))
    return Filled(text[:CHAT_TEXT_CHARS], attachments)


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    """WeCom's id of a file lives three days: a task keeps its name, and `with_files` puts the id in at the tap."""
    name = media_name(part)
    return {"msgtype": next(iter(part)), "name": name} if name else {}


def with_files(conn: Connection, messages: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Chat messages whose files have WeCom's id; raises Conflict while WeCom does not have one of them."""
    living = find_living_by_name(conn, {message["name"] for message in messages if "name" in message}, MESSAGE, now)
    for message in messages:
        if "name" in message and message["name"] not in living:
            raise Conflict(
                f"素材“{message['name']}”还没有上传到企业微信，请几分钟后再试；急用可以先去掉附件，手动发送文字。"
            )
    return [
        chat_media(living[message["name"]].kind, living[message["name"]].media_id) if "name" in message else message
        for message in messages
    ]


def _issue(conn: Connection, one: Due, key: str, now: datetime) -> coupons.Issue:
    """The one coupon of this run, whichever step gave it first."""
    reason = coupon_reason(one.playbook.key, one.row.run_key)
    return coupons.issue(conn, batch_key=key, person_id=one.row.person_id, reason_key=reason, now=now)


def _coupon_keys(one: Due, said: Content) -> list[str]:
    """The coupons a step shows; one that is only spoken of is the playbook's first."""
    shown = [part["coupon"] for part in said.attachments if "coupon" in part]
    spoken_of = any(name.startswith(_OF_COUPONS) for name in _variables_of(said.text))
    if not shown and spoken_of and one.playbook.coupons:
        return [one.playbook.coupons[0].key]
    return shown


def load_values(conn: Connection, due: Sequence[Due], shop: Shop, now: datetime) -> dict[int, dict[str, Any]]:
    """By enrolment: what is known of the variables that the texts of this batch name."""
    if not due:
        return {}
    named = set().union(*(_variables_of(text) for text in {text for one in due for text in _texts(one)}))
    values: dict[int, dict[str, Any]] = {one.row.id: {"shop": shop.name} for one in due}
    for wanted, load in _LOADERS:
        if wanted(named):
            for enrolment_id, found in load(conn, due, named, now):
                values[enrolment_id] |= found
    if any(name.startswith(_OF_TRIGGER) for name in named):
        for enrolment_id, found in _told(conn, due, shop.zone):
            values[enrolment_id] |= found
    return values


def _texts(one: Due) -> Iterator[str]:
    yield one.content.text
    for part in one.content.attachments:
        yield from (str(text) for text in (part.get("link") or {}).values())


@lru_cache(maxsize=2048)
def _variables_of(text: str) -> frozenset[str]:
    """Reading a template costs more than filling it."""
    return frozenset(variables_of(text))


Found = Iterable[tuple[int, dict[str, Any]]]


def _names(conn: Connection, due: Sequence[Due], named: Collection[str], now: datetime) -> Found:
    contacts = {one.row.external_userid for one in due}
    rows = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.name).where(
            external_contact.c.external_userid.in_(contacts)
        )
    )
    names = {row.external_userid: row.name for row in rows}
    for one in due:
        yield one.row.id, {"nickname": names.get(one.row.external_userid, "")}


def _remarks(conn: Connection, due: Sequence[Due], named: Collection[str], now: datetime) -> Found:
    rows = conn.execute(
        select(follow_user.c.userid, follow_user.c.external_userid, follow_user.c.remark).where(
            follow_user.c.external_userid.in_({one.row.external_userid for one in due})
        )
    )
    remarks = {(row.userid, row.external_userid): row.remark for row in rows}
    for one in due:
        yield one.row.id, {"remark": remarks.get((one.row.userid, one.row.external_userid), "")}


def _staff(conn: Connection, due: Sequence[Due], named: Collection[str], now: datetime) -> Found:
    names = store.member_names(conn, {one.row.userid for one in due})
    for one in due:
        yield one.row.id, {"staff": names.get(one.row.userid.lower(), "")}


def _fields(conn: Connection, due: Sequence[Due], named: Collection[str], now: datetime) -> Found:
    keys = {name.removeprefix(_OF_FIELDS) for name in named if name.startswith(_OF_FIELDS)} | {"salutation"}
    known = custom_fields.texts_of(conn, {one.row.person_id for one in due}, keys, now)
    for one in due:
        texts = known.get(one.row.person_id, {})
        said: dict[str, Any] = {_OF_FIELDS + key: text for key, text in texts.items()}
        if "salutation" in texts:
            said["salutation"] = texts["salutation"]
        yield one.row.id, said


def _orders(conn: Connection, due: Sequence[Due], named: Collection[str], now: datetime) -> Found:
    """Of the order the run is about, else of the person's newest."""
    newest = _newest_orders(conn, {one.row.person_id for one in due})
    of_runs = _orders_of_runs(conn, due)
    found = {one.row.id: of_runs.get(one.row.id) or newest.get(one.row.person_id) for one in due}
    order_ids = {row.id for row in found.values() if row is not None}
    titles, parcels = _titles(conn, order_ids), _parcels(conn, order_ids)
    for enrolment_id, row in found.items():
        if row is not None:
            yield (
                enrolment_id,
                {
                    "last_product": titles.get(row.id, ""),
                    "last_order_tail": row.order_no[-4:],
                    **parcels.get(row.id, {}),
                },
            )


def _newest_orders(conn: Connection, person_ids: set[int]) -> dict[int, Row[Any]]:
    rank = func.row_number().over(
        partition_by=orders.c.person_id,
        order_by=(
            func.coalesce(orders.c.paid_at, orders.c.ordered_at, orders.c.first_seen_at).desc(),
            orders.c.id.desc(),
        ),
    )
    ranked = (
        select(orders.c.id, orders.c.person_id, orders.c.order_no, rank.label("rank"))
        .where(orders.c.person_id.in_(person_ids), orders.c.is_test.is_(False))
        .subquery()
    )
    newest: Select[Any] = select(ranked).where(ranked.c.rank == 1)
    return {row.person_id: row for row in conn.execute(newest)}


def _orders_of_runs(conn: Connection, due: Sequence[Due]) -> dict[int, Row[Any]]:
    keys = {one.row.id: one.row.run_key.partition("#")[0].removeprefix("order:") for one in due if _is_of_order(one)}
    if not keys:
        return {}
    query: Select[Any] = select(orders.c.id, orders.c.channel, orders.c.shop_key, orders.c.order_no).where(
        orders.c.order_no.in_({key.rpartition("/")[2] for key in keys.values()})
    )
    by_key = {f"{row.channel}/{row.shop_key}/{row.order_no}": row for row in conn.execute(query)}
    return {enrolment_id: by_key[key] for enrolment_id, key in keys.items() if key in by_key}


def _is_of_order(one: Due) -> bool:
    return bool(one.row.run_key.startswith("order:"))


def _titles(conn: Connection, order_ids: set[int]) -> dict[int, str]:
    """The first line that is not a gift."""
    rows = conn.execute(
        select(order_line.c.order_id, order_line.c.title)
        .where(order_line.c.order_id.in_(order_ids))
        .order_by(order_line.c.order_id, order_line.c.is_gift, order_line.c.position)
    )
    titles: dict[int, str] = {}
    for row in rows:
        titles.setdefault(row.order_id, row.title)
    return titles


def _parcels(conn: Connection, order_ids: set[int]) -> dict[int, dict[str, str]]:
    rows = conn.execute(
        select(shipment.c.order_id, shipment.c.carrier_name, shipment.c.carrier_code, shipment.c.tracking_no)
        .where(and_(shipment.c.order_id.in_(order_ids), shipment.c.tracking_no != ""))
        .order_by(shipment.c.shipped_at.nulls_first(), shipment.c.tracking_no)
    )
    return {
        row.order_id: {"carrier": row.carrier_name or row.carrier_code, "parcel_tail": row.tracking_no[-4:]}
        for row in rows
    }


def _told(conn: Connection, due: Sequence[Due], zone: ZoneInfo) -> Found:
    """What the event that began each run says, as people write it."""
    facts = events.list_facts(conn, {one.row.event_id for one in due if one.row.event_id})
    for one in due:
        told = facts.get(one.row.event_id or 0, {})
        yield one.row.id, {_OF_TRIGGER + name: _as_people_write(name, value, zone) for name, value in told.items()}


def _as_people_write(name: str, value: Any, zone: ZoneInfo) -> str:
    """Money in yuan, moments in the shop's zone (3月5日 20:00), days as 3月5日; what has no one word for it is left out."""
    if isinstance(value, bool | list | dict) or value is None:
        return ""
    if name.endswith("_fen") and isinstance(value, int):
        return f"{value / 100:.2f}".removesuffix(".00")
    if not isinstance(value, str) or not (name.endswith("_at") or name == "date"):
        return str(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    moment = moment.astimezone(zone) if moment.tzinfo is not None else moment
    day = f"{moment.month}月{moment.day}日"
    return day if name == "date" else f"{day} {moment:%H:%M}"


_Loader = Callable[[Connection, Sequence[Due], Collection[str], datetime], Found]
_LOADERS: tuple[tuple[Callable[[set[str]], bool], _Loader], ...] = (
    (lambda named: "nickname" in named, _names),
    (lambda named: "remark" in named, _remarks),
    (lambda named: "staff" in named, _staff),
    (lambda named: any(name.startswith(_OF_FIELDS) for name in named) or "salutation" in named, _fields),
    (lambda named: bool(named & _OF_ORDERS), _orders),
)
