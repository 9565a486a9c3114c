"""Private fields of one person in clear: for a reason, by somebody who may, and never without a note of it."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from scrm import audit
from scrm.access.roles import FIELDS
from scrm.commerce.models import orders
from scrm.commerce.receivers import open_receiver
from scrm.db.vault import Vault
from scrm.errors import Forbidden, Invalid, NotFound
from scrm.privacy import store
from scrm.profiles.models import identity
from scrm.profiles.store import get_person
from web.texts import _

MOST_ORDERS = 20
_SIDEBAR = "侧边栏查看号码"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where one order went, in clear; fields that the asker may not see are empty."""

    order_no: str
    channel: str
    name: str = ""
    phone: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Revealed:
    """What was shown; `fields` says what of it the role may see."""

    fields: frozenset[str]
    phones: list[str] = field(default_factory=list)
    receivers: list[Receiver] = field(default_factory=list)


def reveal(
    conn: Connection, person_id: int, vault: Vault, *, actor: str, fields: frozenset[str], reason: str, now: datetime
) -> Revealed:
    """The person's phones and the receivers of the newest orders, and a line in the log in the same transaction.

    `fields` are what the asker's role may see. Raises Forbidden when that is nothing, Invalid without a reason, NotFound.
    """
    if not fields:
        raise Forbidden("你的角色不能查看完整的隐私信息，请联系管理员")
    if len(reason.strip()) < 2:
        raise Invalid("请填写查看原因（至少 2 个字），例如“核对收货地址”")
    if get_person(conn, person_id) is None:
        raise NotFound("没有这位客户，可能已被删除")
    store.note_act(
        conn, "revealed", person_id, actor=actor, reason=reason.strip(), facts={"fields": sorted(fields)}, now=now
    )
    audit.changed(conn, "person", person_id, None, {"seen": fields, "reason": reason.strip()})
    phones = _phones(conn, person_id, vault) if "phone" in fields else []
    return Revealed(fields, phones, _receivers(conn, person_id, vault, fields))


@dataclass(frozen=True, slots=True)
class MaskedPhone:
    """A number as it may be shown; `is_noted` when only a member's remark knows it."""

    id: int
    mask: str
    is_noted: bool


def list_phones(conn: Connection, person_id: int) -> list[MaskedPhone]:
    """All numbers of a person, masked, the oldest first."""
    mine = select(identity.c.id, identity.c.mask, identity.c.source).where(
        identity.c.person_id == person_id, identity.c.kind == "mobile_e164"
    )
    return [MaskedPhone(row.id, row.mask, row.source == "remark") for row in conn.execute(mine.order_by(identity.c.id))]


def reveal_phone(
    conn: Connection,
    person_id: int,
    identity_id: int,
    vault: Vault,
    *,
    actor: str,
    most: int,
    since: datetime,
    now: datetime,
) -> str:
    """One number in clear for the member beside the chat (+86...), and a line in the log in the same transaction.

    Raises Forbidden when the member has seen `most` since then, NotFound.
    """
    seen = store.count_revealed(conn, actor, since)
    if seen >= most:
        raise Forbidden(
            _("今天查看的完整号码已达上限（{most} 个），明天可以继续。急用请联系主管。", most=most)
            if most
            else _("店里没有开放在侧边栏查看完整号码，需要时请联系主管。")
        )
    found = open_phone(conn, person_id, identity_id, vault)
    facts = {"fields": ["phone"], "identity": identity_id, "mask": found.mask, "where": "sidebar"}
    store.note_act(conn, "revealed", person_id, actor=actor, reason=_SIDEBAR, facts=facts, now=now)
    audit.changed(conn, "person", person_id, None, {"seen": ["phone"], "reason": _SIDEBAR})
    return found.clear


@dataclass(frozen=True, slots=True)
class ClearPhone:
    """Not for anybody's eyes by itself."""

    clear: str
    mask: str


def open_phone(conn: Connection, person_id: int, identity_id: int, vault: Vault) -> ClearPhone:
    """For what must work with the number itself; raises NotFound."""
    mine = select(identity.c.sealed, identity.c.mask).where(
        identity.c.id == identity_id, identity.c.person_id == person_id, identity.c.kind == "mobile_e164"
    )
    row = conn.execute(mine).one_or_none()
    clear = _open(row.sealed, vault) if row is not None else ""
    if row is None or not clear:
        raise NotFound(_("没有这个号码，可能已被移除，请刷新页面"))
    return ClearPhone(clear, row.mask)


def _phones(conn: Connection, person_id: int, vault: Vault) -> list[str]:
    mine = select(identity.c.sealed).where(identity.c.person_id == person_id, identity.c.kind == "mobile_e164")
    return [clear for sealed in conn.scalars(mine) if (clear := _open(sealed, vault))]


def _receivers(conn: Connection, person_id: int, vault: Vault, fields: frozenset[str]) -> list[Receiver]:
    rows = conn.execute(
        select(orders.c.channel, orders.c.order_no, orders.c.receiver_sealed)
        .where(orders.c.person_id == person_id, orders.c.receiver_sealed != "")
        .order_by(orders.c.ordered_at.desc(), orders.c.id.desc())
        .limit(MOST_ORDERS)
    )
    found = []
    for row in rows:
        clear = open_receiver(row.receiver_sealed, vault)
        place = "".join(str(clear.get(name) or "") for name in ("province", "city", "district", "address"))
        found.append(
            Receiver(
                order_no=row.order_no,
                channel=row.channel,
                name=str(clear.get("name") or "") if "receiver" in fields else "",
                phone=str(clear.get("phone") or "") if "phone" in fields else "",
                address=place if "address" in fields else "",
            )
        )
    return found


def _open(sealed: str, vault: Vault) -> str:
    if not sealed:
        return ""
    try:
        return vault.open(sealed)
    except ValueError:
        return ""


__all__ = [
    "FIELDS",
    "MOST_ORDERS",
    "ClearPhone",
    "MaskedPhone",
    "Receiver",
    "Revealed",
    "list_phones",
    "open_phone",
    "reveal",
    "reveal_phone",
]
