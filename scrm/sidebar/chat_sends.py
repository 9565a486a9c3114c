"""What a member sends by hand: the ledger has the intent before the client gets the message, and the outcome after."""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row

from scrm.errors import Conflict, Invalid, NotFound
from scrm.profiles.store import access_contact
from scrm.sidebar.cards.visit import Visit
from scrm.sop import ledger
from web.texts import _

_TAP = re.compile(r"[0-9a-f]{16}")


def once_of(beginning: str, fields: Mapping[str, Any]) -> str:
    """The key of one tap, by the `once` that the page made for it."""
    tap = str(fields.get("once") or "")
    return f"{beginning}{tap if _TAP.fullmatch(tap) else secrets.token_hex(8)}"


def begin(conn: Connection, visit: Visit, once: str, content: Mapping[str, Any], *, is_unheard: object = False) -> None:
    """Claimed once: a second tap of the same sending goes on only when the client refused the first.

    `is_unheard`: the page says that the answer to the first never came. Raises Conflict when it has gone out, Invalid
    when `once` is somebody else's.
    """
    values = {
        "kind": "chat",
        "userid": visit.userid,
        "external_userid": visit.external_userid,
        "person_id": visit.person_id,
        "once": once,
        "content": dict(content),
        "decided_at": visit.now,
        "outcome": "intent",
    }
    if ledger.add_send(conn, values) is not None:
        return
    row = ledger.find_send(conn, once)
    if row is None or not _is_of(visit, row):
        raise Invalid(_("请刷新页面再发送。"))
    if row.outcome != "failed" and not (is_unheard is True and row.outcome == "intent"):
        raise Conflict(_("刚才已经发过了。要再发一次，请刷新页面。"))
    ledger.change_send(conn, once, content=dict(content), decided_at=visit.now, outcome="intent", reason="")


def end(conn: Connection, visit: Visit, beginning: str, fields: Mapping[str, Any]) -> Row[Any] | None:
    """`{once, ok, error?}`, what the client said: the send if it went out just now, None when it failed or was told before.

    Raises NotFound unless `once` begins so and the member began it for this contact.
    """
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    once = str(fields.get("once") or "")
    row = ledger.find_send(conn, once)
    if row is None or not _is_of(visit, row) or not once.startswith(beginning):
        raise NotFound(_("没有这次发送的记录，请刷新页面。"))
    if row.outcome != "intent":
        return None
    if fields.get("ok") is not True:
        ledger.change_send(conn, once, outcome="failed", reason=str(fields.get("error") or "")[:300])
        return None
    ledger.change_send(conn, once, outcome="sent", sent_at=visit.now)
    return row


def _is_of(visit: Visit, row: Row[Any]) -> bool:
    return (row.userid, row.external_userid) == (visit.userid, visit.external_userid)
