"""Finds built assets by their source name and serves them with content hashes, for ever."""

import json
from functools import lru_cache
from pathlib import Path

from aiohttp import web

from web.texts import CHINESE, LANGUAGE, LANGUAGES, catalogue

STATIC = Path(__file__).parent / "static"
META = STATIC / "dist" / "meta.json"
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class AssetMissingError(RuntimeError):
    """An asset was asked for that the build did not make."""


def asset(name: str) -> str:
    """The URL of an entry by its source file name: `sidebar.js` -> `/static/dist/sidebar-HASH.js`.

    Raises AssetMissingError when the assets were not built or have no such entry.
    """
    try:
        entries = _manifest(META.stat().st_mtime_ns)[0]
    except FileNotFoundError:
        raise AssetMissingError("前端资源尚未构建：请运行 python3 dev.py assets") from None
    if name not in entries:
        known = "、".join(sorted(entries)) or "无"
        raise AssetMissingError(
            f"没有名为 {name} 的前端入口（现有：{known}）：请检查 web/build.py 的 ENTRIES 并重新构建"
        )
    return f"/static/dist/{entries[name]}"


def routes() -> list[web.AbstractRouteDef]:
    """`/static/dist/*` cached for ever, because names change with the content; the rest of `/static` revalidates."""
    return [
        web.get("/favicon.ico", _icon),
        web.get("/static/dist/{file}", _built_file),
        web.get("/static/texts/{file}", _texts_file),
        web.static("/static", STATIC),
    ]


def texts_script() -> str:
    """Where the islands' texts are in the reader's language; empty for Chinese, which they speak by themselves."""
    language = LANGUAGE.get()
    return "" if language == CHINESE else f"/static/texts/{catalogue.script(language).name}"


async def _icon(request: web.Request) -> web.FileResponse:
    """Browsers ask for it by themselves, once a day."""
    headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return web.FileResponse(STATIC / "icon.svg", headers=headers)


async def _texts_file(request: web.Request) -> web.Response:
    for language in LANGUAGES[1:]:
        script = catalogue.script(language)
        if request.match_info["file"] == script.name:
            return web.Response(text=script.body, content_type="text/javascript", headers=FOREVER)
    raise web.HTTPNotFound


async def _built_file(request: web.Request) -> web.FileResponse:
    file = request.match_info["file"]
    if not META.is_file() or file not in _manifest(META.stat().st_mtime_ns)[1]:
        raise web.HTTPNotFound
    return web.FileResponse(META.with_name(file), headers=FOREVER)


@lru_cache(maxsize=1)
def _manifest(built_at_ns: int) -> tuple[dict[str, str], frozenset[str]]:
    """Entry name -> file, and all files; the argument makes a new build be read again."""
    outputs: dict[str, dict[str, object]] = {}
    for meta in META.parent.glob("meta*.json"):
        outputs |= json.loads(meta.read_bytes())["outputs"]
    files = {Path(path).name: output.get("entryPoint") for path, output in outputs.items()}
    return {Path(str(entry)).name: file for file, entry in files.items() if entry}, frozenset(files)
