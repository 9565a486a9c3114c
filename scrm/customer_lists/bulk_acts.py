"""What is done with a chunk of customers, in the transaction that keeps what became of each.

Nothing here calls WeCom: wishes about tags, transfers and runs of playbooks are kept, and the rooms they belong to tell
WeCom at its pace. So a chunk that was broken off has done nothing, and is simply taken again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.access.scope import Scope
from scrm.customer_lists import bulk_store, pool, relations
from scrm.customer_lists.bulk_store import Outcome
from scrm.db.tables import from_millis
from scrm.errors import NotFound, ScrmError
from scrm.profiles import tags
from scrm.sop import run_acts
from scrm.sop.enrol import Rules
from scrm.sop.members.owners import set_owner
from scrm.sop.starts import By, start_by_hand
from scrm.transfers import begin as transfers
from scrm.transfers.store import Plan
from scrm.work import queue

# So many relations a second are handed on to be marked: what members do by hand goes in between.
_MARKS_PER_SECOND = 20
NOBODY_FOLLOWS = "没有员工在跟进这位客户（或跟进的员工不在你的数据范围里）"


@dataclass(frozen=True, slots=True)
class Errand:
    """One job for its acts; `begun` is how many persons of it were taken before."""

    id: int
    choice: Mapping[str, Any]
    by: str
    by_name: str
    scope: Scope
    created_at: datetime
    begun: int
    rules: Rules
    now: datetime


Act = Callable[[Connection, Errand, Sequence[int]], list[Outcome]]


def add_tags(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """On the relation of whoever looks after the customer; who wears them already is left in peace."""
    found = relations.choose(conn, person_ids, errand.scope)
    names = list(errand.choice["tags"])
    worn = relations.list_worn(conn, list(found.values()), names)
    outcomes, wanted = [], []
    for person_id in person_ids:
        relation = found.get(person_id)
        if relation is None:
            outcomes.append(Outcome(person_id, False, NOBODY_FOLLOWS))
            continue
        missing = [name for name in names if name not in worn.get(relation.pair, ())]
        wanted += [_wanted(errand, relation.pair, add=missing)] if missing else []
        outcomes.append(Outcome(person_id, True, "" if missing else "已经有了", relation.userid))
    _wish(conn, errand, wanted)
    return outcomes


def remove_tags(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """From every relation within the reach that wears them."""
    names = list(errand.choice["tags"])
    pairs = relations.list_wearing(conn, person_ids, names, errand.scope)
    wanted = [_wanted(errand, pair, remove=names) for each in pairs.values() for pair in each]
    _wish(conn, errand, wanted)
    return [
        Outcome(each, True, "", pairs[each][0][0]) if each in pairs else Outcome(each, True, "本来就没有")
        for each in person_ids
    ]


def _wanted(
    errand: Errand, pair: tuple[str, str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tags.Wanted:
    return tags.Wanted(*pair, add, remove, "staff", f"{errand.by_name}批量修改")


def _wish(conn: Connection, errand: Errand, wanted: Sequence[tags.Wanted]) -> None:
    tags.wish_many(conn, wanted, errand.now)
    queue.add_many(conn, _marks(errand, wanted), now=errand.now)


def _marks(errand: Errand, wanted: Sequence[tags.Wanted]) -> Iterator[queue.Item]:
    for number, each in enumerate(wanted, errand.begun):
        due_at = errand.created_at + timedelta(seconds=number / _MARKS_PER_SECOND)
        yield tags.mark_work(each.userid, each.external_userid, due_at=max(errand.now, due_at))


def start_playbook(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """As when a member starts it beside the chat, with the same guards."""
    outcomes = []
    for person_id in person_ids:
        by = By(errand.by_name, once=bulk_store.once_of(errand.id, person_id))
        try:
            with conn.begin_nested():
                started = start_by_hand(conn, errand.rules, errand.choice["playbook"], person_id, by, errand.now)
        except ScrmError as error:
            outcomes.append(Outcome(person_id, False, error.text))
        else:
            outcomes.append(Outcome(person_id, True, started.words))
    return outcomes


def hand_over(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """From whoever looks after each to one colleague: as many transfers as there are givers.

    Who is the colleague's own customer already is only made theirs to look after.
    """
    taker = str(errand.choice["to"])
    theirs = relations.choose(conn, person_ids, errand.scope, only=taker)
    outcomes = []
    for person_id in sorted(theirs):
        set_owner(conn, person_id, taker)
        outcomes.append(Outcome(person_id, True, "接替员工本来就在跟进，已改为负责人", taker))
    others = [each for each in person_ids if each not in theirs]
    found = relations.choose(conn, others, errand.scope)
    outcomes += [Outcome(each, False, NOBODY_FOLLOWS) for each in others if each not in found]
    left = relations.list_left(conn, list(found.values()))
    groups: dict[tuple[str, bool], list[relations.Relation]] = {}
    for each in found.values():
        groups.setdefault((each.userid, each.pair in left), []).append(each)
    for (giver, resigned), group in sorted(groups.items()):
        outcomes += _begin(conn, errand, giver, resigned, group)
    return outcomes


def _begin(
    conn: Connection, errand: Errand, giver: str, resigned: bool, group: Sequence[relations.Relation]
) -> list[Outcome]:
    plan = Plan(
        handover_userid=giver,
        takeover_userid=str(errand.choice["to"]),
        resigned=resigned,
        message=str(errand.choice.get("message", "")),
        created_by=errand.by,
        external_userids=[each.external_userid for each in group],
    )
    try:
        with conn.begin_nested():
            transfer_id = transfers.begin(conn, plan, now=errand.now)
    except ScrmError as error:
        return [Outcome(each.person_id, False, error.text, giver) for each in group]
    taken = relations.list_handed(conn, transfer_id)
    return [_handed(each, taken.get(each.external_userid)) for each in group]


def _handed(one: relations.Relation, failed: str | None) -> Outcome:
    """`failed` is None when the customer is on the way already, empty when all is well."""
    if failed is None:
        return Outcome(one.person_id, False, relations.ON_THE_WAY, one.userid)
    return Outcome(one.person_id, not failed, failed or "已提交，24 小时内客户没有拒绝就会接替", one.userid)


def put_into_pool(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """Nobody is responsible for them until somebody picks them."""
    new = pool.put(conn, list(person_ids), by=errand.by_name, now=errand.now)
    return [Outcome(each, True, "" if each in new else "本来就在公海里") for each in person_ids]


# Taking back ----------------------------------------------------------------------------------------------------------


def stop_playbook(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """End the runs that another job began; who has come to the end of it by now is left alone."""
    runs = bulk_store.list_runs_begun(conn, errand.choice["playbook"], int(errand.choice["of"]), person_ids)
    outcomes = []
    for person_id in person_ids:
        try:
            with conn.begin_nested():
                if person_id not in runs:
                    raise NotFound("没有找到这次开始的记录，可能客户已合并")
                done = run_acts.stop(conn, runs[person_id], errand.by, errand.by_name, now=errand.now)
        except ScrmError as error:
            outcomes.append(Outcome(person_id, False, error.text))
        else:
            outcomes.append(Outcome(person_id, True, done.words))
    return outcomes


def take_out_of_pool(conn: Connection, errand: Errand, person_ids: Sequence[int]) -> list[Outcome]:
    """Whom another job has put in and nobody has picked since goes back to whoever was responsible."""
    back = pool.take_back(conn, list(person_ids), since=from_millis(int(errand.choice["since"])))
    gone = "已经不在公海里，或后来又进来过"
    return [Outcome(each, each in back, "" if each in back else gone, back.get(each, "")) for each in person_ids]


# How many persons are taken at a time, by kind; an export is no act: it writes a file.
ACTS: Mapping[str, tuple[Act, int]] = {
    "tag": (add_tags, 200),
    "untag": (remove_tags, 200),
    "playbook": (start_playbook, 50),
    "transfer": (hand_over, 1000),
    "pool": (put_into_pool, 200),
    "stop": (stop_playbook, 50),
    "unpool": (take_out_of_pool, 200),
}
