"""Private fields of one person in clear: for a reason, by somebody who may, and never without a note of it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from scrm.commerce.models import orders
from scrm.db.vault import Vault
from scrm.errors import Forbidden, Invalid, NotFound
from scrm.privacy import store
from scrm.privacy.rules import FIELDS, may_reveal
from scrm.profiles.models import identity
from scrm.profiles.store import get_person

MOST_ORDERS = 20


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
    conn: Connection, person_id: int, vault: Vault, *, actor: str, role: str, reason: str, now: datetime
) -> Revealed:
    """The person's phones and the receivers of the newest orders, and a line in the log in the same transaction.

    Raises Forbidden for a role that may see none, Invalid without a reason, NotFound.
    """
    fields = may_reveal(role)
    if not fields:
        raise Forbidden("你的角色不能查看完整的隐私信息，请联系管理员")
    if len(reason.strip()) < 2:
        raise Invalid("请填写查看原因（至少 2 个字），例如“核对收货地址”")
    if get_person(conn, person_id) is None:
        raise NotFound("没有这位客户，可能已被删除")
    store.note_act(
        conn, "revealed", person_id, actor=actor, reason=reason.strip(), facts={"fields": sorted(fields)}, now=now
    )
    phones = _phones(conn, person_id, vault) if "phone" in fields else []
    return Revealed(fields, phones, _receivers(conn, person_id, vault, fields))


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


def open_receiver(sealed: str, vault: Vault) -> dict[str, Any]:
    """An order's receiver in clear; empty when it cannot be opened."""
    clear = _open(sealed, vault)
    try:
        found = json.loads(clear) if clear else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _open(sealed: str, vault: Vault) -> str:
    if not sealed:
        return ""
    try:
        return vault.open(sealed)
    except ValueError:
        return ""


__all__ = ["FIELDS", "MOST_ORDERS", "Receiver", "Revealed", "open_receiver", "reveal"]
