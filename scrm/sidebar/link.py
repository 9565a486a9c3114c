"""Signed links that open the sidebar in a plain browser: for tests and support, short-lived."""

from datetime import datetime
from urllib.parse import urlencode

from aiohttp import web

from scrm.db.vault import Vault
from scrm.errors import Forbidden
from scrm.http import sign_in
from scrm.profiles import store as profiles
from scrm.services import SERVICES
from web.texts import _

routes = web.RouteTableDef()

_PURPOSE = "sidebar-link"


def sidebar_link(vault: Vault, userid: str, external_userid: str, until: datetime) -> str:
    """The path that signs `userid` in and shows the contact; an empty external_userid leads to today's tasks."""
    expires = str(int(until.timestamp()))
    proof = vault.sign(_PURPOSE, _text(userid, external_userid, expires))
    query = {"member": userid, "external_userid": external_userid, "expires": expires, "proof": proof}
    return f"/sidebar/enter?{urlencode(query)}"


def _text(userid: str, external_userid: str, expires: str) -> str:
    return "\n".join((userid, external_userid, expires))


@routes.get("/sidebar/enter")
async def enter(request: web.Request) -> web.Response:
    """Check the proof, sign in, and go on to a clean address."""
    services = request.app[SERVICES]
    userid, external_userid, expires, proof = (
        request.query.get(name, "") for name in ("member", "external_userid", "expires", "proof")
    )
    is_ours = proof.isascii() and services.vault.is_signed(_PURPOSE, _text(userid, external_userid, expires), proof)
    if not is_ours or int(expires) < services.clock.now().timestamp():
        raise Forbidden(_("这个链接无效或已过期，请重新获取。"))
    member = await services.db.read(profiles.find_member, userid)
    if member is None or not member.is_active:
        raise Forbidden(_("链接里的员工不存在或已停用，请联系管理员。"))
    target = f"/sidebar/contacts/{external_userid}" if external_userid else "/sidebar/today"
    response = web.Response(status=302, headers={"Location": target, "Cache-Control": "no-store"})
    await sign_in(request, response, member.userid)
    return response
