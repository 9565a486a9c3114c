"""订单推送: where platforms push to, what came, and what could not be read, with the reason and the button to replay."""

from datetime import timedelta

from aiohttp import web

from scrm.commerce import restating, status_words
from scrm.commerce.hooks import store
from scrm.commerce.hooks.inbox import unseal
from scrm.commerce.hooks.kinds import hooks_of
from scrm.commerce.hooks.masking import masked
from scrm.console.door import before_of, for_managers, page
from scrm.console.mall.status_words import shown
from scrm.console.words import Word
from scrm.errors import NotFound
from scrm.services import SERVICES, Services

routes = web.RouteTableDef()

SHOWN = 50
WINDOW = timedelta(hours=24)
STATES = {
    "new": Word("处理中", "info"),
    "done": Word("已处理", "good"),
    "unused": Word("与订单无关"),
    "stale": Word("已过时"),
    "unreadable": Word("无法解析", "warn"),
    "failed": Word("处理失败", "bad"),
}


@routes.get("/console/hooks")
@for_managers
async def hooks(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    sources = hooks_of(services)
    state = request.query.get("state", "")
    state = state if state in STATES else "odd"
    source = request.query.get("source", "")
    source = source if source in sources else ""
    tallies = await services.db.read(store.tally, since=services.clock.now() - WINDOW)
    before = before_of(request)
    titles = {key: hook.shown for key, hook in sources.items()}
    rows = await services.db.read(store.list_messages, source=source, state=state, before=before, limit=SHOWN)
    return await page(
        request,
        "hooks.html",
        active="hooks",
        sources=[(key, hook, tallies.get(key)) for key, hook in sources.items()],
        rows=[(row, _shown(services, row.body_sealed)) for row in rows],
        public_url=services.settings.server.public_url,
        states=STATES,
        state=state,
        source=source,
        shown=SHOWN,
        strange=shown(await services.db.read(status_words.list_words, titles.keys()), titles),
        action="/console/hooks/status-words",
        mapped="mapped" in request.query,
        left=await services.db.read(restating.count_left, titles.keys()),
        replayed=_number(request.query.get("replayed", "")),
    )


def _shown(services: Services, sealed: str) -> str:
    if not sealed:
        return ""
    try:
        return masked(unseal(services.vault, sealed))
    except ValueError:
        return "原文是用另一把密钥加密的，无法打开"


@routes.post(r"/console/hooks/{id:\d{1,18}}/replay")
@for_managers
async def replay(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    message_id = int(request.match_info["id"])
    if not await services.db.write(store.replay, ids=[message_id], now=services.clock.now()):
        raise NotFound("这条推送正在处理，或者原文已经清空，不能重放。请刷新列表查看")
    raise web.HTTPSeeOther("/console/hooks?replayed=1")


@routes.post("/console/hooks/replay")
@for_managers
async def replay_all(request: web.Request) -> web.StreamResponse:
    """Every message that could not be read, of one source or of all: after a mend."""
    services = request.app[SERVICES]
    source = str((await request.post()).get("source", ""))
    count = await services.db.write(store.replay, source=source, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/hooks?replayed={count}")


def _number(text: str) -> str:
    return text if text.isascii() and text.isdigit() and len(text) < 10 else ""
