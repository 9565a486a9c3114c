"""/sidebar/plain: the day's texts to copy, for clients whose engine cannot run the sidebar. No script is needed."""

from aiohttp import web

from scrm.errors import ScrmError
from scrm.http import signed_in
from scrm.services import SERVICES
from scrm.sidebar.door import for_members, page
from scrm.sop.members import tasks
from scrm.sop.members.tasks import TaskView
from web.texts.kept import retold

routes = web.RouteTableDef()

# A page without scripts has no second one; who has more to do needs another client.
MOST = 50


@routes.get("/sidebar/plain")
@for_members
async def show_day(request: web.Request) -> web.StreamResponse:
    """What waits for this member, the most urgent first."""
    return await show(request, "plain.html")


@routes.post(r"/sidebar/plain/{task_id:\d{1,18}}/sent")
@for_members
async def note_sent(request: web.Request) -> web.StreamResponse:
    """The member has pasted and sent it: checked like every other sending, then told of as sent."""
    services, userid = request.app[SERVICES], signed_in(request).userid
    task_id = int(request.match_info["task_id"])
    try:
        await tasks.release(services, userid, task_id)
        await tasks.confirm_sent(services, userid, task_id, True)
    except ScrmError as error:
        return await show(request, "plain.html", status=error.status, problem=retold(error.text))
    raise web.HTTPSeeOther("/sidebar/plain")


async def show(
    request: web.Request, template: str, *, status: int = 200, problem: str = "", **values: object
) -> web.Response:
    """A page with the list in it."""
    services = request.app[SERVICES]
    views = await services.db.read(tasks.list_for_member, signed_in(request).userid, services.clock.now())
    waiting = [view for view in views if view.is_open]
    values |= {"waiting": waiting[:MOST], "more": len(waiting[MOST:]), "problem": problem, "texts": texts}
    return page(request, template, status=status, **values)


def texts(task: TaskView) -> list[str]:
    """What a member can paste, a message each: words as they are, cards as their title and address."""
    return [text for text in (task.text, *map(_as_text, task.attachments)) if text]


def _as_text(message: dict[str, object]) -> str:
    body = message.get(str(message.get("msgtype")))
    if not isinstance(body, dict):
        return ""
    return str(
        body.get("content") or " ".join(filter(None, (str(body.get("title") or ""), str(body.get("link") or ""))))
    )
