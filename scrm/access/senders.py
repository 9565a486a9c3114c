"""From where somebody comes: the address of a request, and the client in words."""

import ipaddress

from aiohttp import web


def sender_of(request: web.Request) -> str:
    """The address that a request comes from: behind a proxy on a private address it is the last one that it added."""
    return find_sender(request.remote, request.headers.get("X-Forwarded-For", ""))


def find_sender(remote: str | None, forwarded: str) -> str:
    """`sender_of`, of an address and a header."""
    try:
        is_proxy = ipaddress.ip_address(remote or "").is_private
    except ValueError:
        return remote or ""
    last = forwarded.rpartition(",")[2].strip()
    return last[:45] if is_proxy and last else str(remote)


_SYSTEMS = (
    ("iphone", "iPhone"),
    ("ipad", "iPad"),
    ("android", "Android"),
    ("windows", "Windows"),
    ("mac", "Mac"),
    ("linux", "Linux"),
)
_CLIENTS = (
    ("wxwork", "企业微信"),
    ("micromessenger", "微信"),
    ("edg/", "Edge"),
    ("firefox", "Firefox"),
    ("chrome", "Chrome"),
    ("safari", "Safari"),
)


def describe_agent(agent: str) -> str:
    """Windows 企业微信: enough to know one's own logins by."""
    folded = agent.lower()
    words = (next((word for sign, word in kind if sign in folded), "") for kind in (_SYSTEMS, _CLIENTS))
    return " ".join(filter(None, words))
