"""When a run is over: the events and conditions that end it, and the words for it. Pure."""

import operator
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from scrm.events import Event
from scrm.sop.schema import Condition, Goal, Playbook
from scrm.sop.triggers.facts import fits

# What members and managers read as the reason; the same words at a tap, in a task and in a run.
EVENT_WORDS = {
    "contact.added": "客户添加了员工",
    "contact.lost_by_customer": "客户删除了员工",
    "contact.lost_by_member": "员工删除了客户",
    "group.joined": "客户加入了客户群",
    "group.left": "客户离开了客户群",
    "order.created": "客户已下单",
    "order.paid": "订单已付款",
    "order.shipped": "订单已发货",
    "order.delivered": "订单已签收",
    "order.completed": "订单已完成",
    "order.cancelled": "订单已取消",
    "order.closed": "订单已关闭",
    "refund.opened": "客户申请了退款",
    "refund.agreed": "商家已同意退款",
    "refund.refused": "商家已拒绝退款",
    "refund.done": "已退款",
    "refund.closed": "退款已结束",
    "coupon.issued": "优惠券已发放",
    "coupon.redeemed": "优惠券已核销",
}

LOST = frozenset({"contact.lost_by_customer", "contact.lost_by_member"})
_OF_ONE_ORDER = ("order.", "refund.")
# What orders say of their goods: any of these may be the value of a run's key.
_GOODS = ("sku", "sku_family", "product_id")


class Run(NamedTuple):
    """What of an enrolment decides which events concern it."""

    run_key: str
    userid: str
    external_userid: str
    event_id: int
    anchor_at: datetime
    # When it began, where its anchor is a date to come.
    begun_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """What happened before then has nothing to do with it."""
        return self.anchor_at if self.begun_at is None else min(self.anchor_at, self.begun_at)


def concerns(playbook: Playbook, run: Run, event: Event) -> bool:
    """Whether an event of this person has to do with this run.

    Only what came after the event that began it. In a run of one order, other orders do not count, nor orders of other
    goods in a run of one product, nor other lives in a run of one live; the end of a friendship counts for the runs of
    that member only.
    """
    if event.id <= run.event_id:
        return False
    if event.name in LOST and run.external_userid:
        return (event.external_userid, event.userid.casefold()) == (run.external_userid, run.userid.casefold())
    if event.name.startswith("order.") and event.occurred_at < run.since:
        return False  # an old order that we only now know to be this person's
    return _is_about(playbook, run.run_key.partition("#")[0].partition(":")[2], event)


def _is_about(playbook: Playbook, value: str, event: Event) -> bool:
    """Whether an event is about the order, product or live of a run with that value ("12@" and the product)."""
    own = value.partition("@")[2]
    if playbook.run_key == "order":
        # Shops that begin it by an event of their own also end it so, with the same number.
        is_own = event.name.startswith("custom.") and playbook.trigger.event.startswith("custom.") and event.key != ""
        return value == event.key if is_own or event.name.startswith(_OF_ONE_ORDER) else True
    if playbook.run_key in ("product", "sku_family") and event.name.startswith(_OF_ONE_ORDER):
        goods = {str(event.facts[name]) for name in _GOODS if event.facts.get(name)}
        goods |= {str(each) for each in event.facts.get("skus") or ()}
        return own in goods or not goods
    if playbook.run_key == "live" and event.name.startswith("live.") and event.key:
        # A live that got another time has that behind its number; told of the same time again, nothing has changed.
        is_told_again = event.name == "live.moved" and event.facts.get("live_id") == own
        return (own == event.key or own.startswith(f"{event.key}@")) and not is_told_again
    return True


def goal_reached(goal: Goal | None, run: Run, events: Iterable[Event]) -> Event | None:
    """The event that this run was there for, if it happened in time and not before the run began."""
    if goal is None:
        return None
    for event in events:
        begun = event.occurred_at >= run.since
        in_time = goal.within is None or event.occurred_at <= run.anchor_at + goal.within
        if event.name == goal.event and begun and in_time and fits(goal.where, event.facts):
            return event
    return None


def event_names(tree: Condition | None) -> set[str]:
    """The events that a condition tree speaks of."""
    if not isinstance(tree, dict):
        return set()
    names = {str(tree["event"])} if "event" in tree else set()
    for key in ("all", "any"):
        for branch in tree.get(key) or ():
            names |= event_names(branch)
    return names | event_names(tree.get("not"))


def watched(playbook: Playbook) -> set[str]:
    """Every event that may end a run of this playbook."""
    names = event_names(playbook.exit_if) | LOST
    return names if playbook.goal is None else names | {playbook.goal.event}


def settle(tree: Condition, events: Sequence[Event]) -> bool | Condition:
    """The tree with its event leaves answered from what happened since the run began.

    True or False when that decides it, else what is left, which only the database can answer.
    """
    if "event" in tree and "within" not in tree:
        return _happened(tree, events)
    if isinstance(tree.get("not"), dict):
        inner = settle(tree["not"], events)
        return not inner if isinstance(inner, bool) else {"not": inner}
    for key, deciding in (("any", True), ("all", False)):
        if tree.get(key):
            return _settle_group(key, deciding, tree[key], events)
    return tree


def _settle_group(key: str, deciding: bool, branches: Iterable[Condition], events: Sequence[Event]) -> bool | Condition:
    answers = [settle(branch, events) for branch in branches]
    if any(answer is deciding for answer in answers):
        return deciding
    left = [answer for answer in answers if not isinstance(answer, bool)]
    return {key: left} if left else not deciding


_COMPARE = {"eq": operator.eq, "gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}


def _happened(leaf: Condition, events: Sequence[Event]) -> bool:
    found = sum(1 for event in events if event.name == leaf["event"] and fits(leaf.get("where") or {}, event.facts))
    wanted = leaf.get("count", {"gte": 1})
    if not isinstance(wanted, dict):
        return bool(found == wanted)
    return bool(wanted) and all(op in _COMPARE and _COMPARE[op](found, value) for op, value in wanted.items())


def event_words(name: str) -> str:
    return EVENT_WORDS.get(name, f"发生了“{name}”")


def lost_words(member_name: str) -> str:
    """The words for a friendship that ended (docs: what to tell people)."""
    return f"客户已不是{member_name}的好友，任务已撤回。"


def withdrawn_words(reason: str, playbook: Playbook | None = None) -> str:
    """Why a task is gone; whoever was to be reminded of paying has paid."""
    if reason == EVENT_WORDS["order.paid"] and playbook is not None and playbook.trigger.event == "order.created":
        return f"{reason}，无需催付。"
    return reason if reason.endswith("。") else f"{reason}，任务已撤回。"
