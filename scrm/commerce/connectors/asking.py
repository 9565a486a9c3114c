"""One JSON question to a platform's API, with what went wrong in one line."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from scrm.commerce.connectors import plain_json

_TIMEOUT = ClientTimeout(total=10)
_MOST_BYTES = 4_000_000


async def ask(session: ClientSession, url: str, body: Any, query: Mapping[str, str] | None = None) -> dict[str, Any]:
    """POST JSON, get an object; raises ConnectionError for everything that may pass, without keys in its text."""
    try:
        async with session.post(
            url,
            params=dict(query or {}),
            data=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
            timeout=_TIMEOUT,
        ) as response:
            raw = await response.content.read(_MOST_BYTES)
            status = response.status
    except (ClientError, TimeoutError, OSError) as error:
        raise ConnectionError(f"平台接口没有应答：{type(error).__name__}") from None
    try:
        found = plain_json.decode(raw)
    except ValueError:
        found = None
    if status >= 400 or not isinstance(found, dict):
        raise ConnectionError(f"平台接口的应答无法使用：HTTP {status}")
    return found
