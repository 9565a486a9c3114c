"""What happens to transfers as time goes on and people act: takeovers, refusals, members who leave."""

from collections.abc import Awaitable, Callable

from scrm.errors import Conflict, Invalid

from .sandbox import Sandbox
from .transfers import DONE, REFUSED, TAKER_FULL, Transfer
from .world import Json, Pair, PairState

Act = Callable[[Json], Awaitable[Json]]


def watch(sandbox: Sandbox) -> None:
    """From now on each transfer ends by itself after 24 hours of the sandbox's clock."""
    sandbox.world.transfers.on_begun = lambda transfer: sandbox.later(_end_when_due(sandbox, transfer))


async def _end_when_due(sandbox: Sandbox, transfer: Transfer) -> None:
    await sandbox.clock.sleep((transfer.due_at - sandbox.clock.now()).total_seconds())
    finish(sandbox, transfer)


def finish(sandbox: Sandbox, transfer: Transfer) -> None:
    """The customer belongs to the taker: one event for each side, none for a taker who knew him (doc 92125)."""
    world, now = sandbox.world, sandbox.clock.now()
    if transfer.status in (DONE, REFUSED, TAKER_FULL):
        return
    if transfer.takeover_userid.casefold() in world.transfers.full:
        _fail(sandbox, transfer, TAKER_FULL, "customer_limit_exceed")
        return
    transfer.status, transfer.ended_at = DONE, now
    old = world.pairs.get((transfer.handover_userid, transfer.external_userid))
    known = world.pairs.get((transfer.takeover_userid, transfer.external_userid))
    is_friend = known is not None and known.state == PairState.FRIEND
    had_him_once = any(
        row.handover_userid == transfer.takeover_userid and row.external_userid == transfer.external_userid
        for row in world.transfers.rows
        if row.status == DONE
    )
    if old is not None:
        old.state = PairState.DELETED
        if not transfer.resigned:
            fields: list[tuple[str, str | int]] = [*_ids(old), ("Source", "DELETE_BY_TRANSFER")]
            sandbox.tell("客户已转给同事", "change_external_contact", fields, "del_external_contact")
    world.transfers.unassigned.pop((transfer.handover_userid, transfer.external_userid), None)
    if not is_friend:
        pair = Pair(transfer.takeover_userid, transfer.external_userid, PairState.FRIEND, now, add_way=202)
        if old is not None:
            pair.remark, pair.tag_ids = old.remark, list(old.tag_ids)
        pair.has_chatted = True
        world.put_pair(pair)
        if transfer.message:
            world.append(pair, now, "member", "text", {"content": transfer.message})
        if not had_him_once:
            sandbox.tell("接替成为好友", "change_external_contact", _ids(pair), "add_external_contact")
    world.touch()


def _ids(pair: Pair) -> list[tuple[str, str | int]]:
    return [("UserID", pair.userid), ("ExternalUserID", pair.external_userid)]


def _fail(sandbox: Sandbox, transfer: Transfer, status: int, reason: str) -> None:
    transfer.status, transfer.ended_at = status, sandbox.clock.now()
    fields: list[tuple[str, str | int]] = [
        ("FailReason", reason),
        ("UserID", transfer.takeover_userid),
        ("ExternalUserID", transfer.external_userid),
    ]
    sandbox.tell("客户没有转成", "change_external_contact", fields, "transfer_fail")
    sandbox.world.touch()


def acts(sandbox: Sandbox) -> dict[str, Act]:
    """Control acts about transfers."""

    def waiting(body: Json) -> Transfer:
        user = sandbox.get_wechat_user(str(body.get("user", "")))
        transfer = sandbox.world.transfers.find_waiting(user.external_userid)
        if transfer is None:
            raise Conflict("这位顾客现在没有在转接。")
        return transfer

    async def refuse_transfer(body: Json) -> Json:
        """{user}: the customer refuses the new member within the 24 hours."""
        _fail(sandbox, waiting(body), REFUSED, "customer_refused")
        return {}

    async def finish_transfer(body: Json) -> Json:
        """{user}: the takeover happens now, without waiting for the 24 hours."""
        finish(sandbox, waiting(body))
        return {}

    async def member_is_full(body: Json) -> Json:
        """{userid, full}: whether the member can take no more customers."""
        member, full = sandbox.get_member(str(body.get("userid", ""))), body.get("full", True)
        if not isinstance(full, bool):
            raise Invalid("full 应为 true 或 false。")
        folded = member.userid.casefold()
        (sandbox.world.transfers.full.add if full else sandbox.world.transfers.full.discard)(folded)
        return {}

    async def member_leaves(body: Json) -> Json:
        """{userid}: the member leaves the corp; his customers wait to be given to somebody."""
        member = sandbox.get_member(str(body.get("userid", "")))
        now, state = sandbox.clock.now(), sandbox.world.transfers
        state.left[member.userid.casefold()] = (member.userid, now)
        for pair in sandbox.world.pairs_of_member(member.userid):
            if pair.state in (PairState.FRIEND, PairState.HALF):
                state.unassigned[member.userid, pair.external_userid] = now
            pair.state = PairState.DELETED
        del sandbox.world.members[member.userid.casefold()]
        sandbox.tell("员工离职", "change_contact", [("UserID", member.userid)], "delete_user")
        sandbox.world.touch()
        return {"customers": sum(1 for userid, _ in state.unassigned if userid == member.userid)}

    return {
        "refuse_transfer": refuse_transfer,
        "finish_transfer": finish_transfer,
        "member_is_full": member_is_full,
        "member_leaves": member_leaves,
    }
