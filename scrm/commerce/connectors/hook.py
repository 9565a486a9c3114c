"""What every platform that pushes orders provides; a new one is one file and one line in `scrm.commerce.hooks.kinds`."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from aiohttp import ClientSession
from pydantic import BaseModel, ConfigDict, Field

from scrm.commerce.connectors import plain_json
from scrm.errors import ScrmError

Plain = dict[str, Any]


class Refused(ScrmError):
    """A request that the platform cannot have sent: a missing header, a wrong signature, an old timestamp."""

    status = 401
    code = "refused"


class Unreadable(Exception):
    """A rightly signed message that makes no order; the text says why, to the manager who finds it."""


class SourceOptions(BaseModel):
    """What a section [sources.<key>] says, whatever its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: str
    # Which of several shops of one platform; empty: as the platform names it in the message.
    shop_key: str = Field("", max_length=80)
    title: str = Field("", max_length=40)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request at the door: `headers` are looked up without regard to case, `body` is as it came over the wire."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    content_type: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform wants to hear."""

    body: str = ""
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message worth keeping."""

    body: bytes
    # Equal for every repetition of the same message and for nothing else.
    message_key: str
    topic: str
    answer: Answer
    # Where the platform counts versions: of what, and which; an older one than was applied is not applied.
    subject: str = ""
    version: int = 0
    # A repetition of the key with another body is an attempt to deceive, and is refused.
    is_nonce: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message means: canonical orders as plain values, and orders of which only the number was told."""

    orders: list[Plain] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    # Why there is nothing to do, for the board.
    note: str = ""
    # What could not be read beside the rest: the message stays on the board, and can be replayed as a whole.
    flaw: str = ""


class Hook(ABC):
    """One configured source; built once for the life of the process."""

    kind: ClassVar[str]
    title: ClassVar[str]
    options_type: ClassVar[type[SourceOptions]]

    def __init__(self, key: str, options: Any) -> None:
        self.key = key
        self.options = options

    @property
    def shown(self) -> str:
        """The source's name for people."""
        return str(self.options.title or self.title)

    def verify_url(self, request: Incoming) -> Answer:
        """GET: most platforms never ask; raises Refused."""
        raise Refused("这个来源只接收 POST 推送")

    @abstractmethod
    def receive(self, request: Incoming) -> Delivery | Answer:
        """Check the signature over the raw body in constant time; an Answer alone is a probe. Raises Refused."""

    @abstractmethod
    def read(self, topic: str, body: bytes) -> Reading:
        """What a kept message says; raises Unreadable."""

    def can_fetch(self) -> bool:
        """Whether the keys for asking the platform's API are set."""
        return False

    async def fetch(self, session: ClientSession, number: str, now: datetime) -> list[Plain]:
        """Ask for one order by its number, where messages carry nothing else; raises Unavailable to be asked again."""
        raise NotImplementedError


def body_key(body: bytes) -> str:
    """The message key where the platform gives none: the body's SHA-256, 64 hex characters."""
    return hashlib.sha256(body).hexdigest()


def short_key(text: str) -> str:
    """A platform's message id, however long, in at most 80 characters."""
    return text if 0 < len(text) <= 80 and text.isascii() and text.isprintable() else body_key(text.encode())


def read_json(body: bytes) -> Any:
    """Plain values; raises Unreadable."""
    try:
        return plain_json.decode(body)
    except ValueError as error:
        raise Unreadable(f"不是合法的 JSON：{error}") from None


def read_object(body: bytes) -> Plain:
    """A JSON object; raises Unreadable for anything else."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise Unreadable("内容应为一个 JSON 对象")
    return value


def peek(body: bytes) -> Plain:
    """The object in the body, or {} where there is none: for what is only looked at before it is kept."""
    try:
        return read_object(body)
    except Unreadable:
        return {}
