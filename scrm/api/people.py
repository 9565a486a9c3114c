"""GET /api/v1/customers/search: customers by what the console's list narrows them by; PATCH of their tags."""

from datetime import datetime
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct
from sqlalchemy import Connection

from scrm import audit
from scrm.access.scope import Scope
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import LIMIT, Choice, Day, Moment, Number, Page, Text, TextCursor, Texts, decode, person_id_of
from scrm.customer_lists import filters, people, relations, store
from scrm.errors import Conflict, Invalid, NotFound
from scrm.profiles import redirects, tags
from scrm.profiles.store import get_person
from scrm.services import SERVICES

routes = web.RouteTableDef()

MOST_TAGS = 50

Q = Text("q", "姓名、备注的一部分，手机号，手机尾号，订单号或 external_userid", most=80)
SEVERAL = (
    Texts("owner", "负责员工的 userid；可以写几次，是其中一位就算", most=64),
    Texts("channel", "渠道的 state；可以写几次，是其中一个就算", most=64),
    Texts("tag", "企业标签的名称；可以写几次，怎样算见 tagged", most=64),
)
TAGGED = Choice("tagged", "写了几个标签时：不写是有其中一个，all 都有，none 都没有", ("all", "none"))
STAGE = Text("stage", "客户阶段", most=64)
SEGMENT = Text("segment", "人群包的编号", most=64)
FRIEND = Choice("friend", "yes 是好友，lost 已删除员工，none 没有加过好友", tuple(filters.FRIENDS))
DAYS = (
    Day("added_from", "添加时间，从这一天起"),
    Day("added_to", "添加时间，到这一天（含）"),
    Day("ordered_from", "最近下单，从这一天起"),
    Day("ordered_to", "最近下单，到这一天（含）"),
)
FEN = (
    Number("paid_from_fen", "累计实付至少多少分", most=10**11 - 1),
    Number("paid_to_fen", "累计实付最多多少分", most=10**11 - 1),
)
TEXTS = (Q, STAGE, SEGMENT, FRIEND, TAGGED)
SORT = Choice("sort", "new 建档时间，paid 累计实付，ordered 最近下单；都是大的、新的在前", tuple(filters.ORDERS))
PLACE = TextCursor(r"(([0-9]{1,18}\.|-\.)?[0-9]{1,18})?")


class FoundCustomer(Struct, kw_only=True):
    """One line of the list; the rest is at /api/v1/customers/{id}."""

    id: int
    name: str
    remark: str
    stage: str
    external_userid: str
    owner_userid: str
    followed_by: list[str]
    tags: list[str]
    orders: int
    paid_fen: int
    last_order_at: Moment | None
    added_at: Moment | None
    created_at: Moment


@routes.get("/api/v1/customers/search")
@operation("按条件列出客户", query=(*TEXTS, *SEVERAL, *DAYS, *FEN, SORT, PLACE, LIMIT), is_scoped=True)
async def search(request: web.Request) -> Page[FoundCustomer]:
    services, limit, cursor = request.app[SERVICES], LIMIT.read_size(request), PLACE.read(request)
    said: dict[str, str] = {one.name: one.read(request) for one in TEXTS}
    said |= {one.name: day.isoformat() for one in DAYS if (day := one.read(request)) is not None}
    for one in FEN:
        if (fen := one.read(request)) is not None:
            said[one.name.removesuffix("_fen")] = f"{fen // 100}.{fen % 100:02}"
    several = [(one.name, text) for one in SEVERAL for text in one.read(request)]
    wanted = filters.read([*said.items(), *several, ("sort", SORT.read(request))])
    narrowed = filters.narrow(wanted, services.settings.shop.zone, services.vault.lookup)
    if narrowed.problems:
        raise Invalid("；".join(narrowed.problems))
    scope, now = request[CALLER].scope, services.clock.now()

    def look(conn: Connection) -> Page[FoundCustomer]:
        found = store.find_page(conn, narrowed, scope, now, before=cursor, limit=limit)
        items = [_found(one) for one in people.list_these(conn, found.ids)]
        return Page(items, found.before or None)

    return await services.db.read(look)


def _found(one: people.Customer) -> FoundCustomer:
    row = one.person
    return FoundCustomer(
        id=row.id,
        name=one.name,
        remark=one.remark,
        stage=row.stage,
        external_userid=one.contact.external_userid if one.contact is not None else "",
        owner_userid=row.owner_userid,
        followed_by=[follow.userid for follow in one.follows if not follow.ended_by],
        tags=list(one.tags),
        orders=row.orders or 0,
        paid_fen=row.paid_fen or 0,
        last_order_at=row.last_order_at,
        added_at=one.added_at,
        created_at=row.created_at,
    )


_Names = Annotated[list[Annotated[str, Meta(min_length=1, max_length=80)]], Meta(max_length=MOST_TAGS)]


class TagsWanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """Names or ids of the corp's tags; `userid`: on this member's relation, else on that of whoever is in charge."""

    add: _Names = []
    remove: _Names = []
    userid: Annotated[str, Meta(max_length=64)] = ""


class TagsMarked(Struct):
    """Whose relation is marked; WeCom is told in the background."""

    userid: str
    external_userid: str
    add: list[str]
    remove: list[str]


@routes.patch(r"/api/v1/customers/{person_id:\d+}/tags")
@operation(
    "给客户加上、去掉企业标签", says="已记下，几秒内写入企业微信", body=TagsWanted, status=202, errors=(404, 409)
)
async def mark(request: web.Request) -> TagsMarked:
    """404 for a tag that is not in the library, 409 when no member follows the customer."""
    services, caller, person_id = request.app[SERVICES], request[CALLER], person_id_of(request)
    asked = decode(await request.read(), TagsWanted, '{"add": ["标签名称"], "remove": ["标签名称"], "userid": "可选"}')
    return await services.db.write(_mark, person_id, asked, caller.scope, f"接口：{caller.name}", services.clock.now())


def _mark(conn: Connection, person_id: int, asked: TagsWanted, scope: Scope, reason: str, now: datetime) -> TagsMarked:
    person_id = redirects.follow(conn, person_id)
    if get_person(conn, person_id) is None:
        raise NotFound(f"没有客户 {person_id}")
    known: set[Any] = {name for row in tags.find_tags(conn, asked.add) for name in (row.tag_id, row.tag_name)}
    if missing := [name for name in asked.add if name.strip() not in known]:
        raise NotFound(f"企业标签库里没有“{missing[0][:40]}”，请先在后台「企业标签」新建")
    relation = relations.choose(conn, [person_id], scope, only=asked.userid).get(person_id)
    if relation is None:
        raise Conflict("没有员工在跟进这位客户，打不了企业标签")
    tags.want(conn, *relation.pair, add=asked.add, remove=asked.remove, source="api", reason=reason, now=now)
    audit.changed(conn, "person", person_id, {"tags": asked.remove}, {"tags": asked.add})
    return TagsMarked(*relation.pair, asked.add, asked.remove)
