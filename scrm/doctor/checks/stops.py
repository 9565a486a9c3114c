"""What stopped because an administrator had to act; where WeCom answers again, it goes on at once."""

from collections.abc import Awaitable, Callable

from scrm import stops
from scrm.doctor.checks import access, apps, permissions
from scrm.doctor.findings import Finding, State, bad, good
from scrm.doctor.look import Look
from scrm.wecom.errors import WeComError
from scrm.wecom.stops import Stop
from scrm.work import queue

_HOW = "处理好后回到这里重新检查，通过就自动继续；也可以到“任务队列”点“已处理，继续”。"

# The check that is green when this endpoint may be called again; the first part found in its path decides.
_PROOFS: tuple[tuple[str, Callable[[Look], Awaitable[Finding]]], ...] = (
    ("customer_acquisition", permissions.acquisition),
    ("groupchat", permissions.group_chats),
    ("opengid", permissions.group_chats),
    ("tag", permissions.corp_tags),
    ("contact_way", permissions.contact_ways),
    ("join_way", permissions.group_chats),
    ("moment", permissions.moments),
    ("groupmsg", permissions.mass_messages),
    ("group_msg", permissions.mass_messages),
    ("msg_template", permissions.mass_messages),
    ("transfer", permissions.transfers),
    ("unassigned", permissions.transfers),
    ("externalcontact/", permissions.customer_contact),
    ("kf/", permissions.kf),
    ("department/", permissions.address_book),
    ("get_jsapi_ticket", access.jsapi_ticket),
    ("ticket/get", access.agent_ticket),
)


async def stopped(look: Look) -> Finding:
    """Asks the harmless calls of the other checks whether it is mended, and lets go on what is."""
    services = look.services
    known = (await services.wecom.stops.look()).values()
    mended = [stop.scope for stop in known if await _is_mended(look, stop)]
    held = bool(await services.db.read(queue.newest_held))
    waiting = await stops.resume(services, *mended) if mended or (held and not known and await _is_well(look)) else 0
    left = [stop for stop in known if stop.scope not in mended]
    if left:
        return _told(left)
    return good(f"已恢复，{waiting} 个任务继续执行" if waiting else "")


def _told(left: list[Stop]) -> Finding:
    error = WeComError(left[0].errcode, left[0].errmsg, path=left[0].path)
    cause, _, mend = error.text.partition("。")
    what = "全部接口" if not left[0].scope else "、".join(_endpoint(stop) for stop in left[:3])
    return bad(f"已停止自动调用{what}：{cause}。", f"{mend}{_HOW}", left[0].errcode)


def _endpoint(stop: Stop) -> str:
    return stop.scope.rstrip("/").rpartition("/")[2]


async def _is_mended(look: Look, stop: Stop) -> bool:
    of_another_app = apps.other_apps if stop.scope.endswith("/") else None
    proof = next((check for part, check in _PROOFS if part in stop.scope), of_another_app)
    return await _is_well(look) and (proof is None or await _passes(look, proof))


async def _is_well(look: Look) -> bool:
    """Token, address and app are taken."""
    return all([await _passes(look, check) for check in (access.token, access.trusted_ip, access.app)])


async def _passes(look: Look, check: Callable[[Look], Awaitable[Finding]]) -> bool:
    try:
        return (await check(look)).state is State.GOOD
    except WeComError:
        return False
