"""Callbacks encrypted ahead of time, each different, written to a file as whole HTTP requests."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from tests.fakes import wecom as fake


def add_event(number: int | str, *, created_at: int | None = None, userid: str = "lina") -> str:
    """A customer of that number adds a member; the welcome code is as long as WeCom's."""
    return fake.event_xml(
        "add_external_contact",
        created_at=int(time.time()) if created_at is None else created_at,
        UserID=userid,
        ExternalUserID=f"wmBench{number:0>25}",
        State="live-1111",
        WelcomeCode=welcome_code(number),
    )


def welcome_code(number: int | str) -> str:
    return f"CODE{number:0>39}"


def http_request(xml: str) -> bytes:
    """A POST as it goes over the wire, kept alive."""
    query, body = fake.callback(xml)
    raw = body.encode()
    head = (
        f"POST /callbacks/wecom?{urlencode(query)} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/4.0\r\n"
        f"Content-Type: text/xml\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def write_requests(path: Path, first: int, count: int) -> None:
    """`count` distinct adds, from number `first` on."""
    with path.open("wb") as file:
        for number in range(first, first + count):
            request = http_request(add_event(number))
            file.write(struct.pack(">I", len(request)) + request)


def read_requests(path: Path, skip: int, count: int) -> list[bytes]:
    """`count` requests after the first `skip`; fewer when the file ends."""
    return list(_read(path, skip, count))


def _read(path: Path, skip: int, count: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number in range(skip + count):
            size = file.read(4)
            if len(size) < 4:
                return
            (length,) = struct.unpack(">I", size)
            if number < skip:
                file.seek(length, 1)
            else:
                yield file.read(length)
