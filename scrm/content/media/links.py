"""Signed, short-lived addresses of pictures, for clients that fetch them without a cookie: covers, previews."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

from scrm.content.media import library, store
from scrm.db.vault import Vault
from scrm.errors import NotFound
from scrm.services import SERVICES

routes = web.RouteTableDef()

_PURPOSE = "media-link"
# A page that lies open, and a card that a client draws after it was sent.
PREVIEW = timedelta(hours=1)
CARD = timedelta(hours=24)
# Pages of one hour have the same address, so that a client fetches a picture once.
_STEP = timedelta(minutes=30)


def media_path(vault: Vault, sha256: str, now: datetime, lives: timedelta = PREVIEW) -> str:
    """The path of an original, good for about `lives`; behind the server's own address for clients elsewhere."""
    step = int(_STEP.total_seconds())
    expires = (int((now + lives).timestamp()) // step + 1) * step
    return f"/media/{sha256}/{expires}-{vault.sign(_PURPOSE, f'{sha256}/{expires}')}"


@routes.get(r"/media/{sha256:[0-9a-f]{64}}/{expires:\d{1,12}}-{proof:[0-9a-f]{32}}")
async def show(request: web.Request) -> web.StreamResponse:
    """A picture, to whoever has the address while it is good; 404 for everything else."""
    services = request.app[SERVICES]
    sha256, expires, proof = (request.match_info[name] for name in ("sha256", "expires", "proof"))
    is_ours = services.vault.is_signed(_PURPOSE, f"{sha256}/{expires}", proof)
    if not is_ours or int(expires) <= services.clock.now().timestamp():
        raise NotFound("图片链接已过期，请刷新页面")
    row = await services.db.read(store.find_original, sha256)
    path = library.path_of(services.settings.content.media_dir, sha256)
    if row is None or row.kind != "image" or not path.is_file():
        raise NotFound("没有这张图片")
    left = datetime.fromtimestamp(int(expires), UTC) - services.clock.now()
    headers = {
        "Content-Type": row.content_type,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": f"private, max-age={int(left.total_seconds())}",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Referrer-Policy": "no-referrer",
    }
    return web.FileResponse(path, headers=headers)
