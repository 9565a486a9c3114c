"""What an add or a loss means for the channel it came by: the ledger, the caps, the tags and the remark."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.contact_ways import ledger, store, ways
from scrm.contact_ways.plan import Plan, plan_of, remark_of
from scrm.events import Event, get_event
from scrm.profiles import tags
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

REMARK = "ways.remark"

# An add that is told of so late (by a sync) gets no marks any more: the member has made their own by now.
_FRESH = timedelta(days=7)
_HALF_PAUSE = timedelta(minutes=30)
_HALF_WAITS = timedelta(days=3)


# Hears of an add by a customer's own code: the event, the customer.
Invited = Callable[[Connection, Event, int], None]


async def run_event(services: Services, item: queue.Claimed, invited: Invited) -> None:
    """Of work of kind "sop.event": what channels make of an event; doing it twice changes nothing."""
    told = await services.db.read(get_event, int(item.payload["event_id"]))
    if told is not None and told.person_id is not None and told.name in (ledger.ADDED, *ledger.LOST):
        now, zone = services.clock.now(), services.settings.shop.zone
        await services.db.write(take, told, now, zone, invited, item.correlation)


def take(conn: Connection, told: Event, now: datetime, zone: ZoneInfo, invited: Invited, correlation: str = "") -> None:
    """One transaction: the ledger, and for a fresh add what its channel wants of it."""
    ledger.follow(conn, told)
    state = str(told.facts.get("state") or "")
    if told.name != ledger.ADDED or not state:
        return
    way = store.find_contact_way(conn, state)
    if way is None:
        return
    if way.inviter_id is not None:
        invited(conn, told, way.inviter_id)
    plan = plan_of(way.plan)
    if plan.is_capped and not way.link_id and told.occurred_at >= ledger.day_start(now, zone):
        ways.count_soon(conn, state, now)
    if now - told.occurred_at <= _FRESH:
        _mark(conn, told, plan, way.title, now, correlation)


def _mark(conn: Connection, told: Event, plan: Plan, title: str, now: datetime, correlation: str) -> None:
    if plan.tags:
        tags.want(
            conn,
            told.userid,
            told.external_userid,
            add=plan.tags,
            source="channel",
            reason=f"渠道：{title}",
            expires_at=told.occurred_at + timedelta(days=plan.tag_days) if plan.tag_days else None,
            now=now,
            correlation=correlation,
        )
    if plan.remark:
        queue.add(conn, _remark_work(told.userid, told.external_userid, plan.remark, correlation), now=now)


def _remark_work(
    userid: str, external_userid: str, template: str, correlation: str, due_at: datetime | None = None
) -> queue.Item:
    return queue.Item(
        lane="send",
        kind=REMARK,
        payload={"userid": userid, "external_userid": external_userid, "template": template},
        due_at=due_at,
        # A remark and tags of one pair at a time are a conflict too (45035).
        order_key=tags.order_key(userid, external_userid),
        correlation=correlation,
    )


async def run_remark(services: Services, item: queue.Claimed) -> None:
    """Work of kind "ways.remark": only the remark that WeCom itself gave, the nickname, is replaced."""
    pair = item.payload["userid"], item.payload["external_userid"]
    relation = await services.db.read(store.find_relation, *pair)
    if relation is None:
        return
    remark = remark_of(item.payload["template"], relation.name)
    if relation.remark not in ("", relation.name) or remark in ("", relation.remark):
        return
    try:
        await services.wecom.contacts.remark(*pair, remark=remark)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        now = services.clock.now()
        if relation.is_half and error.retry_class is RetryClass.RELATION and now - item.created_at < _HALF_WAITS:
            later = _remark_work(*pair, item.payload["template"], item.correlation, now + _HALF_PAUSE)
            await services.db.write(queue.add, later, now=now)
        return
    await services.db.write(store.save_remark, *pair, remark)
