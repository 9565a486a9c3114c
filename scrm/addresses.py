"""Where the outside may be called: public addresses only, looked up once and then held to."""

import asyncio
import ipaddress
import socket

from yarl import URL

from scrm.errors import ScrmError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unreachable(ScrmError):
    """The name has no address at this moment; asking again may help."""


class NotPublic(ScrmError):
    """The address is one of our own networks; asking again does not help."""


async def resolve(url: URL, *, allow_private: bool = False) -> list[str]:
    """The addresses to connect to, so that nobody can change them between the check and the call.

    Raises NotPublic when any of them is not public, Unreachable when there is none.
    """
    if url.host is None:
        raise NotPublic("网址里没有主机名")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable(f"找不到 {url.host} 的地址，请检查域名") from None
    addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    if not addresses:
        raise Unreachable(f"找不到 {url.host} 的地址，请检查域名")
    if not allow_private and not all(is_public(ipaddress.ip_address(each)) for each in addresses):
        raise NotPublic(
            f"{url.host} 指向内网地址，不允许调用；自己内网的系统请在设置 [outward.名称]（剧本）或 [webhooks]（事件推送）打开 allow_private"
        )
    return addresses


def is_public(address: Address) -> bool:
    """Whether it is on the open internet, also when it is wrapped in an address of IPv6. Pure."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    # NAT64 (RFC 6052) and the old way of writing IPv4 (::a.b.c.d).
    if address in ipaddress.ip_network("64:ff9b::/96") or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
