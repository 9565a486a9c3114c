"""事件推送: which systems are told of which events, what became of each, and the buttons to mend it."""

from typing import Any

from aiohttp import web
from multidict import MultiMapping

from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.console.words import Word
from scrm.errors import Invalid
from scrm.profiles.conditions.leaves_events import EVENTS
from scrm.services import SERVICES
from scrm.webhooks import deliver, store
from scrm.webhooks.wanted import FAMILIES, Wanted, describe_events, new_secret, read_wanted

routes = web.RouteTableDef()

HOME = "/console/webhooks"
SHOWN = 50
STATES = {"waiting": Word("等待推送", "info"), "done": Word("已送达", "good"), "failed": Word("失败", "bad")}
ONE = r"/console/webhooks/{id:\d{1,18}}"


@routes.get(HOME)
@for_managers
async def webhooks(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post(HOME)
@for_managers
async def add(request: web.Request) -> web.StreamResponse:
    """The secret is on the page that answers, and never again."""
    services, form = request.app[SERVICES], await request.post()
    try:
        wanted = _read(request, form)
    except Invalid as problem:
        return await _show(request, form=form, problem=problem.text, status=problem.status)
    secret, by = new_secret(), request[MANAGER].userid
    sealed, now = services.vault.seal(secret), services.clock.now()
    await services.db.write(store.add_webhook, wanted, sealed, secret[-4:], by=by, now=now)
    return await _show(request, made=(wanted.title, secret))


@routes.get(ONE)
@for_managers
async def one(request: web.Request) -> web.StreamResponse:
    return await _show_one(request)


@routes.post(ONE)
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    services, form, webhook_id = request.app[SERVICES], await request.post(), _id(request)
    try:
        wanted = _read(request, form)
    except Invalid as problem:
        return await _show_one(request, form=form, problem=problem.text, status=problem.status)
    values = {"title": wanted.title, "url": wanted.url, "events": list(wanted.events)}
    await services.db.write(store.change_webhook, webhook_id, **values)
    raise web.HTTPSeeOther(f"{HOME}/{webhook_id}?said=saved")


@routes.post(ONE + "/pause")
@for_managers
async def pause(request: web.Request) -> web.StreamResponse:
    why = f"{request[MANAGER].name or request[MANAGER].userid} 暂停"
    await request.app[SERVICES].db.write(store.change_webhook, _id(request), state="paused", paused_why=why)
    raise web.HTTPSeeOther(f"{HOME}/{_id(request)}")


@routes.post(ONE + "/resume")
@for_managers
async def resume(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(store.resume, _id(request), now=services.clock.now())
    raise web.HTTPSeeOther(f"{HOME}/{_id(request)}?said=resumed")


@routes.post(ONE + "/test")
@for_managers
async def try_out(request: web.Request) -> web.StreamResponse:
    """A sample goes out now; the page shows what came back."""
    return await _show_one(request, trial=await deliver.try_out(request.app[SERVICES], _id(request)))


@routes.post(ONE + "/secret")
@for_managers
async def renew_secret(request: web.Request) -> web.StreamResponse:
    """From this moment on calls are signed with the new one."""
    services, secret = request.app[SERVICES], new_secret()
    sealed = services.vault.seal(secret)
    await services.db.write(store.change_webhook, _id(request), secret_sealed=sealed, hint=secret[-4:])
    return await _show_one(request, secret=secret)


@routes.post(ONE + "/delete")
@for_managers
async def drop(request: web.Request) -> web.StreamResponse:
    await request.app[SERVICES].db.write(store.drop_webhook, _id(request))
    raise web.HTTPSeeOther(HOME)


@routes.post(ONE + "/replay")
@for_managers
async def replay_failed(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    count = await services.db.write(store.replay_failed, _id(request), now=services.clock.now())
    raise web.HTTPSeeOther(f"{HOME}/{_id(request)}?replayed={count}")


@routes.post(ONE + r"/{delivery_id:\d{1,18}}/replay")
@for_managers
async def replay(request: web.Request) -> web.StreamResponse:
    services, delivery_id = request.app[SERVICES], int(request.match_info["delivery_id"])
    await services.db.write(store.replay, _id(request), delivery_id, now=services.clock.now())
    raise web.HTTPSeeOther(f"{HOME}/{_id(request)}?replayed=1")


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _read(request: web.Request, form: MultiMapping[Any]) -> Wanted:
    """Raises Invalid."""
    events = ["*"] if form.get("all") else [str(name) for name in form.getall("events", [])]
    events += str(form.get("own", "")).replace("，", ",").split(",") if not form.get("all") else []
    allow_private = request.app[SERVICES].settings.webhooks.allow_private
    return read_wanted(str(form.get("title", "")), str(form.get("url", "")), events, allow_private=allow_private)


def _families() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(family, its title, its events) for the form."""
    return [
        (family, title, [(name, str(words)) for name, words in EVENTS.items() if name.startswith(f"{family}.")])
        for family, title in FAMILIES.items()
    ]


def _said(form: MultiMapping[Any] | None, row: Any = None) -> dict[str, Any]:
    """What stands in the form."""
    if form is not None:
        ticked, own = {str(name) for name in form.getall("events", [])}, str(form.get("own", ""))
        return {
            "title": form.get("title", ""),
            "url": form.get("url", ""),
            "all": bool(form.get("all")),
            "ticked": ticked,
            "own": own,
        }
    events = set(row.events) if row is not None else set()
    offered = {name for family, _, names in _families() for name in (f"{family}.*", *(name for name, _ in names))}
    return {
        "title": row.title if row is not None else "",
        "url": row.url if row is not None else "",
        "all": "*" in events,
        "ticked": events & offered,
        "own": "，".join(sorted(events - offered - {"*"})),
    }


async def _show(
    request: web.Request,
    *,
    form: MultiMapping[Any] | None = None,
    made: tuple[str, str] | None = None,
    problem: str = "",
    status: int = 200,
) -> web.StreamResponse:
    db = request.app[SERVICES].db
    response = await page(
        request,
        "webhooks.html",
        active="webhooks",
        found=await db.read(store.list_webhooks),
        waiting=await db.read(store.count_waiting),
        made=made,
        problem=problem,
        said=_said(form),
        families=_families(),
        describe=describe_events,
    )
    response.set_status(status)
    return response


async def _show_one(
    request: web.Request,
    *,
    form: MultiMapping[Any] | None = None,
    secret: str = "",
    trial: deliver.Trial | None = None,
    problem: str = "",
    status: int = 200,
) -> web.StreamResponse:
    db, webhook_id = request.app[SERVICES].db, _id(request)
    row = await db.read(store.get_webhook, webhook_id)
    state = request.query.get("state", "")
    state = state if state in STATES else ""
    rows = await db.read(store.list_deliveries, webhook_id, state=state, before=before_of(request), limit=SHOWN)
    replayed = request.query.get("replayed", "")
    response = await page(
        request,
        "webhook.html",
        active="webhooks",
        row=row,
        rows=rows,
        state=state,
        states=STATES,
        events=EVENTS,
        waiting=(await db.read(store.count_waiting)).get(webhook_id, 0),
        shown=SHOWN,
        replayed=replayed if replayed.isascii() and replayed.isdigit() and len(replayed) < 9 else "",
        word=request.query.get("said", ""),
        secret=secret,
        trial=trial,
        problem=problem,
        said=_said(form, row),
        families=_families(),
        describe=describe_events,
    )
    response.set_status(status)
    return response
