"""Which state belongs to what: a short text that WeCom gives back when a customer comes."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from scrm.contact_ways.models import contact_way, state_owner
from scrm.db import upsert
from scrm.errors import Conflict, Invalid
from scrm.wecom.contact_ways import MOST_STATE_CHARACTERS

# Letters that are not mistaken for others when somebody reads them out.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_STATE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,29}")


@dataclass(frozen=True, slots=True)
class Owner:
    """`kind` is contact_way, acquisition, join_way ...; `id` is the owner's key in its own table."""

    kind: str
    id: str


def check_state(state: str) -> str:
    """The state as given; raises Invalid for what does not come back from WeCom unharmed."""
    if not _STATE.fullmatch(state):
        raise Invalid(
            f"渠道标识“{state[:40]}”不可用：请用 1 到 {MOST_STATE_CHARACTERS} 个字母、数字、- 或 _，并以字母或数字开头"
        )
    return state


def new_state(prefix: str = "") -> str:
    """A state nobody can guess: the prefix for readers, then ten random letters; at most 30 characters."""
    readable = re.sub(r"[^0-9A-Za-z]+", "-", prefix).strip("-").lower()[:19]
    guessless = "".join(secrets.choice(_LETTERS) for _ in range(10))
    return f"{readable}-{guessless}" if readable else guessless


def claim(conn: Connection, state: str, owner: Owner, *, now: datetime) -> None:
    """The state is the owner's from now on, for ever: customers carry it. Raises Conflict when it is another's."""
    check_state(state)
    taken = (
        upsert(state_owner, conn)
        .values(state=state, owner_kind=owner.kind, owner_id=owner.id, created_at=now)
        .on_conflict_do_nothing()
    )
    conn.execute(taken)
    if find_owner(conn, state) != owner:
        raise Conflict(f"渠道标识“{state}”已经被使用，请换一个")


def find_owner(conn: Connection, state: str) -> Owner | None:
    """Whose state this is; codes from before the registry are found too."""
    row = conn.execute(select(state_owner).where(state_owner.c.state == state)).one_or_none()
    if row is not None:
        return Owner(row.owner_kind, row.owner_id)
    way = conn.execute(select(contact_way.c.link_id).where(contact_way.c.state == state)).one_or_none()
    if way is None:
        return None
    return Owner("acquisition", way.link_id) if way.link_id else Owner("contact_way", state)
