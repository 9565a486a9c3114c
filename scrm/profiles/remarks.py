"""备注: the name, the words, the company and the phones that a member noted of a customer; in WeCom first, then here.

Words go by durable work, and the page shows what WeCom has not taken yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select, update

from scrm.db import upsert
from scrm.errors import Conflict, Invalid
from scrm.profiles.models import follow_user, identity, remark_wish
from scrm.profiles.phones import normalise_phone
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue
from web.texts import N_, _

WRITE = "remark.write"

# WeCom's limits (doc 92115).
FIELDS = {"remark": (N_("备注名"), 20), "description": (N_("描述"), 150), "remark_company": (N_("公司"), 20)}
# The page names none; WeCom's own client has room for so many.
MOST_MOBILES = 5

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Noted:
    """The phones of one relation as WeCom has them, and those that other members noted of the same customer."""

    mine: tuple[str, ...]
    others: frozenset[str]


def read_changes(given: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """What differs from what is kept; raises Invalid for what WeCom would refuse. Pure."""
    changes = {}
    for key, (title, most) in FIELDS.items():
        if key not in given:
            continue
        text = given[key].replace("\r\n", "\n").strip()
        if len(text) > most:
            title = _(title)
            raise Invalid(_("{title}最多 {most} 个字，写了 {n} 个，请删短一些", title=title, most=most, n=len(text)))
        if text != kept[key]:
            changes[key] = text
    return changes


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to stand in WeCom and does not yet; `problem` says why it never will, in words."""

    changes: dict[str, str]
    problem: str
    turn: int


def want(conn: Connection, pair: Pair, changes: Mapping[str, str], *, now: datetime) -> None:
    """WeCom is told soon; what waits already goes with it."""
    if not changes:
        return
    waiting = find_wish(conn, pair)
    values = {"changes": {**(waiting.changes if waiting else {}), **changes}, "problem": "", "wanted_at": now}
    conn.execute(
        upsert(remark_wish, conn)
        .values(userid=pair[0], external_userid=pair[1], **values)
        .on_conflict_do_update(
            index_elements=["userid", "external_userid"], set_={**values, "turn": remark_wish.c.turn + 1}
        )
    )
    payload = {"userid": pair[0], "external_userid": pair[1]}
    queue.add(conn, queue.Item("send", WRITE, payload, order_key=f"remark:{pair[0]}:{pair[1]}"), now=now)


def find_wish(conn: Connection, pair: Pair) -> Wish | None:
    row = conn.execute(select(remark_wish).where(*_pair_of(remark_wish, pair))).one_or_none()
    return Wish(dict(row.changes), row.problem, row.turn) if row is not None else None


async def run_write(services: Services, item: queue.Claimed) -> None:
    """Work of kind "remark.write"; the same words twice change nothing, so an interrupted call is simply repeated.

    Raises WeCom's error when trying again helps; else the wish keeps the reason.
    """
    pair = item.payload["userid"], item.payload["external_userid"]
    wish = await services.db.read(find_wish, pair)
    if wish is None or wish.problem:
        return
    try:
        await services.wecom.contacts.remark(*pair, **wish.changes)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        await services.db.write(_refuse, pair, wish, error.text)
        return
    await services.db.write(_settle, pair, wish)


def _refuse(conn: Connection, pair: Pair, wish: Wish, problem: str) -> None:
    this = *_pair_of(remark_wish, pair), remark_wish.c.turn == wish.turn
    conn.execute(update(remark_wish).where(*this).values(problem=problem[:300]))


def let_go(conn: Connection, payload: Mapping[str, Any], asked_at: datetime, problem: str) -> None:
    """Work of kind "remark.write" will never be done: what was wanted before it was asked for waits no longer."""
    this = _pair_of(remark_wish, (payload["userid"], payload["external_userid"]))
    old = update(remark_wish).where(*this, remark_wish.c.problem == "", remark_wish.c.wanted_at <= asked_at)
    conn.execute(old.values(problem=problem))


def take_up(conn: Connection, payload: Mapping[str, Any], problem: str) -> None:
    """What was let go with this problem waits again."""
    this = _pair_of(remark_wish, (payload["userid"], payload["external_userid"]))
    conn.execute(update(remark_wish).where(*this, remark_wish.c.problem == problem).values(problem=""))


def _settle(conn: Connection, pair: Pair, wish: Wish) -> None:
    """No event comes of calls of ours: our rows follow by themselves."""
    conn.execute(update(follow_user).where(*_pair_of(follow_user, pair)).values(**wish.changes))
    conn.execute(delete(remark_wish).where(*_pair_of(remark_wish, pair), remark_wish.c.turn == wish.turn))


def _pair_of(table: Table, pair: Pair) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.userid == pair[0], table.c.external_userid == pair[1]


async def add_mobile(services: Services, pair: Pair, text: str) -> str:
    """The number as +86...; WeCom's list is read before it is overwritten. Raises Invalid or Conflict in words."""
    phone = normalise_phone(text)
    if phone is None:
        raise Invalid(_("“{text}”不是 11 位手机号，请检查", text=text.strip()[:20]))
    noted = await read_mobiles(services, pair)
    if phone in map(normalise_phone, noted.mine):
        raise Conflict(_("这个号码已经在备注里了"))
    if len(noted.mine) >= MOST_MOBILES:
        raise Conflict(_("备注里最多 {most} 个号码，请先移除一个", most=MOST_MOBILES))
    await services.wecom.contacts.remark(*pair, remark_mobiles=[*noted.mine, phone.removeprefix("+86")])
    return phone


async def remove_mobile(services: Services, pair: Pair, phone: str) -> Noted:
    """Take a number (+86...) out of the member's own remark; what WeCom had before."""
    noted = await read_mobiles(services, pair)
    left = [number for number in noted.mine if normalise_phone(number) != phone]
    if len(left) < len(noted.mine):
        # The page says "an empty string" to clear it (doc 92115).
        await services.wecom.contacts.remark(*pair, remark_mobiles=left or [""])
    return noted


async def read_mobiles(services: Services, pair: Pair) -> Noted:
    told = await services.wecom.contacts.get_external_contact(pair[1])
    mine: tuple[str, ...] = ()
    others: set[str] = set()
    for follow in told["follow_user"]:
        numbers = [str(number) for number in follow.get("remark_mobiles") or [] if number]
        if str(follow.get("userid", "")).casefold() == pair[0].casefold():
            mine = tuple(numbers)
        else:
            others |= {phone for number in numbers if (phone := normalise_phone(number))}
    return Noted(mine, frozenset(others))


def forget_mobile(conn: Connection, person_id: int, identity_id: int) -> bool:
    """A number that was only known by a remark is known no more; one from an order or the customer stays."""
    gone = delete(identity).where(
        identity.c.id == identity_id,
        identity.c.person_id == person_id,
        identity.c.kind == "mobile_e164",
        identity.c.source == "remark",
    )
    return conn.execute(gone).rowcount > 0
