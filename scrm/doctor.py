"""`scrm doctor`: looks at everything that must be right before a first customer comes, and says how to mend it."""

import sys

from scrm import operations
from scrm.app import open_services
from scrm.services import Services
from scrm.settings import Settings
from scrm.wecom.errors import WeComError


async def run_doctor(settings: Settings) -> int:
    """A line per check; 0 when all is well, 1 otherwise."""
    async with open_services(settings) as services:
        lines = [*await _house(services), *await _wecom(services)]
    for is_good, text in lines:
        print(f"{'✓' if is_good else '✗'} {text}", file=sys.stdout)
    return 0 if all(is_good for is_good, _ in lines) else 1


async def _house(services: Services) -> list[tuple[bool, str]]:
    checks = await operations.check(services)
    names = {"database": "数据库", "migrations": "数据库版本", "queue": "任务队列"}
    lines = []
    for key, one in checks.items():
        detail = (
            "" if one["ok"] else f"：{one.get('found', one.get('oldest_seconds', ''))}，处理：{one.get('mend', '')}"
        )
        lines.append((bool(one["ok"]), names[key] + detail))
    directory = services.settings.playbooks.dir
    lines.append(
        (
            directory.is_dir(),
            "剧本目录" if directory.is_dir() else f"剧本目录：找不到 {directory}，请检查 playbooks.dir",
        )
    )
    is_public = services.settings.server.public_url.startswith("https://")
    lines.append(
        (is_public, "外网地址" if is_public else "外网地址：server.public_url 不是 https://，企业微信里打不开侧边栏")
    )
    return lines


async def _wecom(services: Services) -> list[tuple[bool, str]]:
    """The calls that fail first in a new corp: token, trusted IP, contact permission, ticket."""
    checks = (
        ("企业微信 Secret 与可信 IP", services.wecom.tickets.jsapi_ticket),
        ("应用票据（侧边栏签名）", services.wecom.tickets.agent_ticket),
        ("客户联系权限", services.wecom.contacts.get_follow_user_list),
    )
    lines = []
    for name, call in checks:
        try:
            await call()
            lines.append((True, name))
        except WeComError as error:
            lines.append((False, f"{name}：{error.text}（{error.errcode}）"))
    return lines
