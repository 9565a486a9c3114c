"""A manager's decision to hand customers or groups over: checked, kept, and left to durable work."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from scrm import audit
from scrm.errors import Invalid
from scrm.events import Event, record
from scrm.profiles import store as profiles
from scrm.transfers import list_store, store, words
from scrm.transfers.store import Plan
from scrm.wecom.transfers import MESSAGE_CHARS
from scrm.work import queue
from web.texts import _

ASK, POLL, GROUPS, UNASSIGNED = "transfer.ask", "transfer.poll", "transfer.groups", "transfer.unassigned"


def begin(conn: Connection, plan: Plan, *, now: datetime) -> int:
    """Keep the plan with its work in one transaction; returns the transfer's id. Raises Invalid, nothing kept."""
    plan = _checked(conn, plan)
    transfer_id = store.add_transfer(conn, plan, now=now)
    if not plan.resigned:
        store.fail_too_often(conn, transfer_id, words.TOO_OFTEN, now=now)
    counts = list_store.count_states(conn, [transfer_id]).get(transfer_id, {})
    if not counts and not plan.groups:
        raise Invalid(_("没有可以转接的客户：可能都已在转接中，或已不是这位员工的客户。请刷新后重新选择"))
    if counts.get("pending"):
        # WeCom refuses two calls at one member at a time (45035): one after the other.
        order_key = f"transfer:{plan.handover_userid.lower()}"
        queue.add(conn, queue.Item("bulk", ASK, {"transfer_id": transfer_id}, order_key=order_key), now=now)
    if plan.groups:
        queue.add(conn, group_work(transfer_id, plan.handover_userid, None), now=now)
    told = Event(
        "transfer.begun",
        now,
        userid=plan.handover_userid,
        key=str(transfer_id),
        facts={"takeover_userid": plan.takeover_userid, "by": plan.created_by, "resigned": plan.resigned},
    )
    record(conn, [told], now=now)
    told_of = {"handover_userid": plan.handover_userid, "takeover_userid": plan.takeover_userid}
    audit.changed(conn, "transfer", transfer_id, None, {**told_of, "resigned": plan.resigned, "customers": counts})
    return transfer_id


def group_work(transfer_id: int, handover_userid: str, due_at: datetime | None) -> queue.Item:
    order_key = f"transfer-groups:{handover_userid.lower()}"
    return queue.Item("bulk", GROUPS, {"transfer_id": transfer_id}, due_at=due_at, order_key=order_key)


def _checked(conn: Connection, plan: Plan) -> Plan:
    if not plan.handover_userid or not plan.takeover_userid:
        raise Invalid(_("请选择原员工和接替员工"))
    if plan.handover_userid.lower() == plan.takeover_userid.lower():
        raise Invalid(_(words.SAME_MEMBER))
    if len(plan.message) > MESSAGE_CHARS:
        raise Invalid(
            _("给客户的消息有 {chars} 个字，最多 {most} 个字，请缩短", chars=len(plan.message), most=MESSAGE_CHARS)
        )
    taker = profiles.find_member(conn, plan.takeover_userid)
    if taker is None or not taker.is_active:
        raise Invalid(_("接替员工不存在或已停用，请从列表中另选一位"))
    return replace(plan, takeover_userid=taker.userid)
