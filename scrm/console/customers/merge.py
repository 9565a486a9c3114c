"""合并客户: which key wins, pairs that may be the same, the preview of a join, its log and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row, select

from scrm import joining
from scrm.console import store
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.console.store import Customer
from scrm.errors import Invalid, NotFound
from scrm.profiles import identities, merge, suggestions
from scrm.profiles.merge import Act
from scrm.profiles.models import person_field
from scrm.profiles.phones import normalise_phone
from scrm.profiles.redirects import follow
from scrm.services import SERVICES
from scrm.sop.models import enrolment, playbook

routes = web.RouteTableDef()

LOG = 30
KEYS = {kind.key: kind.title for kind in identities.KINDS} | {
    "manual": "人工合并",
    "order_no": "员工说订单是同一个人的",
    "receiver_phone": "收货手机号相同",
    "masked_phone_and_name": "手机号尾号和名字相同",
}
JOINS = {"always": "自动合并", "verified": "验证过才自动合并", "never": "只提示"}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, with what is known of them."""

    customer: Customer
    identities: list[Row[Any]]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a join would do: rows by table's title, and what cannot be both."""

    kept: Side
    gone: Side
    moves: list[tuple[str, int, int, int]]
    warnings: list[str]


@routes.get("/console/merge")
@for_managers
async def overview(request: web.Request) -> web.StreamResponse:
    before = before_of(request)

    def look(conn: Connection) -> dict[str, Any]:
        log = merge.list_merges(conn, before=before, limit=LOG + 1)
        return {
            "pairs": [] if before else suggestions.list_open(conn),
            "log": log[:LOG],
            "more": log[LOG - 1].id if len(log) > LOG else None,
            "names": _names(conn, {row.kept_id for row in log}),
        }

    values = await request.app[SERVICES].db.read(look)
    kinds = {"kinds": identities.KINDS, "keys": KEYS, "joins": JOINS}
    return await page(request, "merge.html", active="merge", before=before, **kinds, **values)


def _names(conn: Connection, ids: set[int]) -> dict[int, str]:
    return {one.person.id: one.name for one in store.list_these(conn, sorted(ids))}


@routes.get("/console/merge/preview")
@for_managers
async def preview(request: web.Request) -> web.StreamResponse:
    """`one` and `other` are ids or phone numbers; `kept` names the one who stays."""
    services = request.app[SERVICES]
    texts = [request.query.get(name, "").strip()[:40] for name in ("one", "other")]
    phones = [normalise_phone(text) for text in texts]
    lookups = [services.vault.lookup(phone) if phone else "" for phone in phones]
    kept = request.query.get("kept", "")
    found = await services.db.read(_preview, texts, lookups, int(kept) if kept.isdecimal() and len(kept) < 19 else 0)
    return await page(request, "merge_preview.html", active="merge", preview=found, keys=KEYS)


def _preview(conn: Connection, texts: list[str], lookups: list[str], kept: int) -> Preview:
    one, other = (_find(conn, text, lookup) for text, lookup in zip(texts, lookups, strict=True))
    if one == other:
        raise Invalid("这两个编号是同一位客户，不需要合并")
    pair = joining.choose(conn, one, other)
    if kept == pair.gone:
        pair = joining.Pair(pair.gone, pair.kept)
    sides = [_side(conn, person_id) for person_id in (pair.kept, pair.gone)]
    titles = {mover.table: mover.title for mover in joining.MOVERS}
    doubles = merge.count_doubles(conn, pair.kept, pair.gone, joining.MOVERS)
    moves = [
        (title, moving, there, moving + there - doubles.get(table, 0))
        for table, title in titles.items()
        if (moving := sides[1].counts.get(table, 0))
        for there in [sides[0].counts.get(table, 0)]
    ]
    return Preview(sides[0], sides[1], moves, _warnings(conn, pair))


def _find(conn: Connection, text: str, phone_lookup: str) -> int:
    """A customer by id or by a phone that is somebody's."""
    if phone_lookup and (owner := identities.find_owner(conn, "mobile_e164", phone_lookup)) is not None:
        return owner
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFound("没有找到另一位客户：请填客户编号（客户页网址末尾的数字）或客户的手机号")
    return follow(conn, int(text))


def _side(conn: Connection, person_id: int) -> Side:
    customers = store.list_these(conn, [person_id])
    if not customers:
        raise NotFound("没有这位客户，可能已被删除。请回到客户列表重新查找")
    known = identities.list_of(conn, [person_id])
    return Side(customers[0], known, merge.count_rows(conn, person_id, joining.MOVERS))


def _warnings(conn: Connection, pair: joining.Pair) -> list[str]:
    """What cannot stand twice, and what becomes of it."""
    words = [
        f"两边的{identities.kind_of(kind).title}不同，通常一个人只有一个，请确认是同一个人"
        for kind, _ in identities.conflicts(conn, pair.kept, pair.gone)
    ]
    both = (pair.kept, pair.gone)
    fields = select(person_field.c.key, person_field.c.person_id).where(person_field.c.person_id.in_(both))
    for key in sorted(_of_both(conn, fields)):
        words.append(f"字段“{key}”两边都填了：用保留那位的值，另一个存进合并记录，撤销时还原")
    live = (
        select(playbook.c.title, enrolment.c.person_id)
        .join(playbook, playbook.c.key == enrolment.c.playbook_key)
        .where(enrolment.c.person_id.in_(both), enrolment.c.state == "active", enrolment.c.run_key.like("person:%"))
    )
    for title in sorted(_of_both(conn, live)):
        words.append(f"剧本“{title}”两边都在进行：走得更远的一次继续，另一次结束并撤回它的待办")
    return words


def _of_both(conn: Connection, query: Any) -> set[str]:
    owners: dict[str, set[int]] = {}
    for key, person_id in conn.execute(query):
        owners.setdefault(key, set()).add(person_id)
    return {key for key, persons in owners.items() if len(persons) > 1}


@routes.post("/console/merge")
@for_managers
async def join(request: web.Request) -> web.StreamResponse:
    kept, gone = await _pair(request)
    services = request.app[SERVICES]
    act = Act(request[MANAGER].userid, "manual")
    await joining.patiently(services.db, joining.join, kept, gone, act, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/customers/{kept}")


@routes.post("/console/merge/apart")
@for_managers
async def tell_apart(request: web.Request) -> web.StreamResponse:
    one, other = await _pair(request)
    services = request.app[SERVICES]
    by, now = request[MANAGER].userid, services.clock.now()
    await services.db.write(suggestions.decide, one, other, "apart", by=by, now=now)
    raise web.HTTPSeeOther("/console/merge")


@routes.post("/console/merge/look")
@for_managers
async def look_for_pairs(request: web.Request) -> web.StreamResponse:
    await joining.look(request.app[SERVICES])
    raise web.HTTPSeeOther("/console/merge")


@routes.post(r"/console/merge/{merge_id:\d{1,18}}/undo")
@for_managers
async def undo(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    merge_id, by = int(request.match_info["merge_id"]), request[MANAGER].userid
    undone = await joining.patiently(services.db, joining.part, merge_id, by=by, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/customers/{undone.back}")


async def _pair(request: web.Request) -> tuple[int, int]:
    form = await request.post()
    texts = [str(form.get(name, "")) for name in ("kept", "gone")]
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in texts):
        raise Invalid("请从预览页提交：缺少要合并的两位客户")
    return int(texts[0]), int(texts[1])
