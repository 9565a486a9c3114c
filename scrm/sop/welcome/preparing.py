"""Choose the welcomes of a batch and write their intents, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, select

from scrm.db import insert_for
from scrm.profiles.conditions.tree import Whom, holding_for
from scrm.sop.content import Shop
from scrm.sop.models import send
from scrm.sop.schema import Playbook
from scrm.sop.welcome.choosing import choose, say_as_channel
from scrm.sop.welcome.filling import fill
from scrm.sop.welcome.intents import Added, Chosen, Prepared
from scrm.sop.welcome.knowing import Known, know


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
    known = know(conn, adds, shop, now)
    admits, copies = _Admits(conn, known, now), _copies(conn, adds)
    chosen = [None if one.added.once in copies else _choose_first(playbooks, one, admits) for one in known]
    prepared = _intend(conn, list(zip(known, chosen, strict=True)), copies, now)
    return fill(conn, list(zip(known, prepared, strict=True)), shop, now)


# While a code lives nobody adds the same member twice: a second code in this time is another app's (doc 92137).
_CODE_LIFE = timedelta(seconds=20)


def _copies(conn: Connection, adds: Sequence[Added]) -> set[str]:
    """Adds whose welcome is another app's copy's: sent, under way, or perhaps sent. After a failure theirs is tried."""
    asked = [added for added in adds if added.may_be_copy and added.welcome_code]
    if not asked:
        return set()
    told = select(send.c.once, send.c.userid, send.c.external_userid, send.c.received_at).where(
        send.c.external_userid.in_({added.external_userid for added in asked}),
        send.c.decided_at >= min(added.received_at for added in asked) - _CODE_LIFE,
        send.c.kind == "welcome",
        send.c.outcome.in_(["intent", "sent", "done_by_other", "unknown"]),
    )
    rows = list(conn.execute(told))
    return {added.once for added in asked if any(_is_of_same_add(row, added) for row in rows)}


def _is_of_same_add(row: Any, added: Added) -> bool:
    pair = (row.userid.lower(), row.external_userid) == (added.userid.lower(), added.external_userid)
    return pair and row.once != added.once and abs(added.received_at - row.received_at) <= _CODE_LIFE


class _Admits:
    """Whom of a batch a condition admits: asked once for all of them, each with his friendship and his add."""

    def __init__(self, conn: Connection, known: Sequence[Known], now: datetime) -> None:
        self._conn, self._known, self._now = conn, known, now
        self._admitted: dict[int, set[int]] = {}

    def __call__(self, condition: Any, one: Known) -> bool:
        if condition is None:
            return True
        if id(condition) not in self._admitted:
            whom = [_whom(each) for each in self._known]
            self._admitted[id(condition)] = holding_for(self._conn, condition, whom, self._now)
        return id(one) in self._admitted[id(condition)]


def _whom(one: Known) -> Whom:
    """Known by its place in memory: one person may add two members in a batch."""
    event = one.event
    pair = event.userid, event.external_userid
    return Whom(id(one), one.person_id, *pair, facts=event.facts, anchor_at=event.occurred_at)


def _choose_first(playbooks: Sequence[Playbook], known: Known, admits: _Admits) -> Chosen | None:
    if not known.added.welcome_code:
        return None
    for chosen in choose(playbooks, known.event):
        asked = (chosen.playbook.enter_if if chosen.playbook else None, chosen.step.condition)
        if all(admits(condition, known) for condition in asked):
            return say_as_channel(chosen, known.channel_text)
    return say_as_channel(None, known.channel_text)


def _intend(
    conn: Connection, wanted: Sequence[tuple[Known, Chosen | None]], copies: set[str], now: datetime
) -> list[Prepared]:
    """The intents as they stand in the ledger now: ours, or those of an earlier try."""
    # Sorted, so that two processes which work the same adds do not wait for each other crosswise.
    rows = sorted((_intent(known, chosen, copies, now) for known, chosen in wanted), key=itemgetter("once"))
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


def _intent(known: Known, chosen: Chosen | None, copies: set[str], now: datetime) -> dict[str, Any]:
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
        "reason": "" if chosen else _why_nothing(added, known.is_confirmation, copies),
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


def _why_nothing(added: Added, is_confirmation: bool, copies: set[str]) -> str:
    if added.once in copies:
        return "已由另一个应用的回调处理"
    if added.welcome_code:
        return "没有匹配的欢迎语"
    if is_confirmation:
        return "员工通过了好友申请，欢迎语在客户添加时已经处理"
    return "企业微信没有给欢迎语 code：员工在企微后台已设欢迎语、已经开口聊过，或客户来自其他企业的企业微信"
