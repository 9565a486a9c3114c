"""The file by which WeCom recognises the owner of a domain (doc 90315)."""

import re
from pathlib import Path

import aiohttp
from aiohttp import web

from scrm.doctor.findings import Finding, bad, good, unused
from scrm.doctor.look import Look, why_silent
from scrm.errors import NotFound
from scrm.services import SERVICES
from scrm.settings import Settings
from scrm.shipped import PACKED

routes = web.RouteTableDef()
NAME = re.compile(r"WW_verify_[A-Za-z0-9]{8,32}\.txt")
_WHERE = "企微管理后台 → 应用管理 → 自建 → 你的应用 → 网页授权及JS-SDK → 申请校验域名"


def folder(settings: Settings) -> Path:
    """The file lies beside the shop's own playbooks, with the other settings."""
    own = settings.playbooks.dir.parent
    return Path("config") if own == PACKED else own


async def domain_file(look: Look) -> Finding:
    settings = look.services.settings
    ours = sorted(path for path in folder(settings).glob("WW_verify_*.txt") if NAME.fullmatch(path.name))
    if not ours:
        return unused(
            f"{folder(settings)} 里没有 WW_verify 校验文件。由反向代理提供时可以忽略。",
            f"{_WHERE}，下载文件放进 {folder(settings)}，本服务会在域名根目录提供它。",
        )
    for path in ours:
        url = f"{settings.server.public_url}/{path.name}"
        try:
            status, text = await look.fetch(url)
        except (aiohttp.ClientError, TimeoutError) as error:
            return bad(f"打不开 {url}（{why_silent(error)}）。", "检查域名解析、证书和反向代理。")
        if status != 200 or text.strip() != path.read_text("utf-8").strip():
            return bad(f"{url} 的内容与文件不同（HTTP {status}）。", "让反向代理把域名根目录的这个文件转给本服务。")
    return good("、".join(path.name for path in ours))


@routes.get(r"/{name:WW_verify_[A-Za-z0-9]{8,32}\.txt}")
async def serve_domain_file(request: web.Request) -> web.Response:
    """At the root of the domain, unchanged, for whoever asks."""
    path = folder(request.app[SERVICES].settings) / request.match_info["name"]
    if not path.is_file():
        raise NotFound("没有这个校验文件")
    return web.Response(body=path.read_bytes(), content_type="text/plain")
