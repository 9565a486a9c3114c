"""GET /api/v1/customers: a person with identities, follow users, tags and totals; what happened to them."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from scrm.access.scope import Scope, require_contact
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import LIMIT, PAGED_BY_PLACE, PLACE, Moment, Page, Text, person_id_of
from scrm.commerce.words import channel
from scrm.errors import NotFound
from scrm.profiles import redirects, store, timeline
from scrm.services import SERVICES

routes = web.RouteTableDef()


class Identity(Struct):
    """A phone is masked."""

    kind: str
    value: str
    source: str
    created_at: Moment | None


class FollowUser(Struct):
    """A member who follows the customer, or did; `ended_by` is customer or member."""

    userid: str
    external_userid: str
    name: str
    remark: str
    add_way: int
    state: str
    is_half: bool
    followed_at: Moment | None
    ended_by: str
    ended_at: Moment | None


class Tag(Struct):
    """`type`: 1 the corp's, 2 a member's own, 3 of a rule group."""

    tag_id: str
    tag_name: str
    group_name: str
    type: int
    userid: str


class Totals(Struct):
    """Of all orders; money in fen."""

    orders: int
    paid_orders: int
    paid_fen: int
    refunded_fen: int
    first_paid_at: Moment | None
    last_paid_at: Moment | None
    last_order_at: Moment | None


class Customer(Struct):
    """A person with all that is known of them but orders."""

    id: int
    name: str
    stage: str
    optout: dict[str, bool]
    identities: list[Identity]
    follow_users: list[FollowUser]
    tags: list[Tag]
    totals: Totals


class Happening(Struct):
    """`text` is the sentence people read; `actor` is customer, member or system."""

    id: int
    name: str
    kind: str
    text: str
    actor: str
    source: str
    occurred_at: Moment
    received_at: Moment
    external_userid: str
    userid: str
    key: str
    facts: dict[str, Any] | None


EXTERNAL_USERID = Text("external_userid", "企业微信的客户编号", is_required=True)
_KIND = Text("kind", "类别（order、coupon……）或事件名，多个用逗号隔开", most=400)


@routes.get("/api/v1/customers")
@operation(
    "按 external_userid 查客户：身份、好友关系、标签、累计", query=(EXTERNAL_USERID,), errors=(404,), is_scoped=True
)
async def find_customer(request: web.Request) -> Customer:
    """404 when WeCom never named it to us."""
    external_userid, scope = EXTERNAL_USERID.read(request), request[CALLER].scope
    return await request.app[SERVICES].db.read(_by_external_userid, external_userid, scope)


@routes.get(r"/api/v1/customers/{person_id:\d+}")
@operation("按编号查客户", errors=(404,))
async def get_customer(request: web.Request) -> Customer:
    return await request.app[SERVICES].db.read(describe, person_id_of(request))


@routes.get(r"/api/v1/customers/{person_id:\d+}/timeline")
@operation("客户动态，新的在前", query=(_KIND, *PAGED_BY_PLACE), errors=(404,))
async def get_timeline(request: web.Request) -> Page[Happening]:
    person_id, limit, cursor = person_id_of(request), LIMIT.read_size(request), PLACE.read_text(request)
    kinds = [kind for kind in _KIND.read(request).split(",") if kind][:20]

    def look(conn: Connection) -> Page[Happening]:
        feed = timeline.list_feed(conn, redirects.follow(conn, person_id), kinds=kinds, before=cursor, limit=limit)
        own = timeline.find_event_types(conn, {row.name for row in feed.rows})
        return Page([_happening(row, own.get(row.name)) for row in feed.rows], feed.next)

    return await request.app[SERVICES].db.read(look)


def _happening(row: Any, own: Any) -> Happening:
    line = timeline.tell(row.name, row.facts or {}, row.userid, channel=channel, own=own)
    return Happening(
        id=row.id,
        name=row.name,
        kind=timeline.kind_of(row.name),
        text=f"{line.title}：{line.detail}" if line.detail else line.title,
        actor=timeline.actor_of(row.name),
        source=timeline.source_of(row.name, row.once or "", row.facts or {}),
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        external_userid=row.external_userid,
        userid=row.userid,
        key=row.key,
        facts=row.facts,
    )


def _by_external_userid(conn: Connection, external_userid: str, scope: Scope) -> Customer:
    require_contact(conn, scope, external_userid)
    contact = store.find_contact(conn, external_userid)
    if contact is None:
        raise NotFound(f"没有客户 {external_userid[:64]}")
    return describe(conn, contact.person_id)


def describe(conn: Connection, person_id: int) -> Customer:
    """Raises NotFound."""
    person_id = redirects.follow(conn, person_id)
    person = store.get_person(conn, person_id)
    if person is None:
        raise NotFound(f"没有客户 {person_id}")
    return Customer(
        id=person.id,
        name=person.name,
        stage=person.stage,
        optout=person.optout,
        identities=[
            Identity(row.kind, row.mask or row.value, row.source, row.created_at)
            for row in store.list_identities(conn, person_id)
        ],
        follow_users=[_follow_user(row) for row in store.list_follow_users(conn, person_id)],
        tags=[
            Tag(row.tag_id if row.type != 2 else "", row.tag_name, row.group_name, row.type, row.userid)
            for row in store.list_tags(conn, person_id)
        ],
        totals=Totals(
            orders=person.orders or 0,
            paid_orders=person.paid_orders or 0,
            paid_fen=person.paid_fen or 0,
            refunded_fen=person.refunded_fen or 0,
            first_paid_at=person.first_paid_at,
            last_paid_at=person.last_paid_at,
            last_order_at=person.last_order_at,
        ),
    )


def _follow_user(row: Any) -> FollowUser:
    return FollowUser(
        userid=row.userid,
        external_userid=row.external_userid,
        name=row.member_name or row.userid,
        remark=row.remark,
        add_way=row.add_way,
        state=row.state,
        is_half=row.is_half,
        followed_at=row.followed_at,
        ended_by=row.ended_by,
        ended_at=row.ended_at,
    )
