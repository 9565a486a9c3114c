"""What a request carries: declared once, read by the handler and told by the description."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from scrm.db.tables import from_millis
from scrm.errors import Invalid, NotFound
from scrm.http import require_keepable

# As many digits as every 64-bit number has room for.
MOST_DIGITS = 18
MOST = 200
_DEFAULT = 50
# Control characters stand in no name, and PostgreSQL keeps no NUL.
_PLAIN = r"[^\u0000-\u001f\u007f]"

# A time of an answer, always with its zone.
Moment = Annotated[datetime, Meta(tz=True)]
T = TypeVar("T")
R = TypeVar("R")

# A text of a body that may not be blank: handlers say it in better words than a pattern does.
SAYS_SOMETHING = {"pattern": rf"^[^\u0000-\u0020\u007f]{_PLAIN}*$"}


# The query ------------------------------------------------------------------------------------------------------------


class Parameter(Protocol):
    """One name of the query."""

    @property
    def name(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def is_required(self) -> bool: ...
    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; what is longer than `most` fits nothing that we know."""

    name: str
    says: str
    is_required: bool = False
    least: int = 0
    most: int = 128

    def read(self, request: web.Request) -> str:
        """Empty when it is not given; raises Invalid when it must be."""
        text = request.query.get(self.name, "")
        if self.is_required and not text:
            raise Invalid(f"缺少参数 {self.name}（{self.says}）")
        if re.fullmatch(self._pattern, text) is None:
            raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，需要 {self.least} 到 {self.most} 个可见的字符")
        return text.strip()

    @property
    def _pattern(self) -> str:
        return f"{_PLAIN}{{{self.least or int(self.is_required)},{self.most}}}"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self._pattern}$"}


@dataclass(frozen=True, slots=True)
class Texts:
    """A name that may be said several times, each with a text like `Text`'s."""

    name: str
    says: str
    most: int = 128
    most_times: int = 20
    is_required: bool = False

    def read(self, request: web.Request) -> list[str]:
        """What is said, without what is empty."""
        texts = request.query.getall(self.name, [])
        if len(texts) > self.most_times:
            raise Invalid(f"参数 {self.name} 写了 {len(texts)} 次，最多 {self.most_times} 次")
        for text in texts:
            if re.fullmatch(self._pattern, text) is None:
                raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，每个最多 {self.most} 个可见的字符")
        return [text.strip() for text in texts if text.strip()]

    @property
    def _pattern(self) -> str:
        return f"{_PLAIN}{{0,{self.most}}}"

    def schema(self) -> dict[str, Any]:
        each = {"type": "string", "pattern": f"^{self._pattern}$"}
        return {"type": "array", "items": each, "maxItems": self.most_times}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    name: str
    says: str
    words: Sequence[str]
    is_required: bool = False

    def read(self, request: web.Request) -> str:
        """Empty when it is not given."""
        text = request.query.get(self.name, "")
        if text and text not in self.words:
            raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，可用的有 {'、'.join(self.words)}")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": ["", *self.words]}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, not negative."""

    name: str
    says: str
    least: int = 0
    most: int = 10**MOST_DIGITS - 1
    is_required: bool = False

    def read(self, request: web.Request) -> int | None:
        """None when it is not given; raises Invalid for anything else than a number."""
        text = request.query.get(self.name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()):
            raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，需要非负整数")
        if len(text) > MOST_DIGITS:
            raise Invalid(f"参数 {self.name}：收到 {len(text)} 位数字，最多 {MOST_DIGITS} 位")
        if not self.least <= int(text) <= self.most:
            is_open = self.most == 10**MOST_DIGITS - 1
            span = f"不小于 {self.least}" if is_open else f"在 {self.least} 到 {self.most} 之间"
            raise Invalid(f"参数 {self.name}：收到 {text}，应{span}")
        return int(text)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the shop's calendar."""

    name: str
    says: str
    is_required: bool = False

    def read(self, request: web.Request) -> date | None:
        text = request.query.get(self.name)
        if text is None:
            return None
        try:
            return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
        except ValueError:
            raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，应写成 2026-03-05") from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


# Pages ----------------------------------------------------------------------------------------------------------------


class Page(Struct, Generic[T]):
    """A page of a list; `next_cursor` is the next page's `cursor`, null at the end."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins; what stands in it is the list's own business."""

    pattern: str
    name: str = "cursor"
    says: str = "上一页回答里的 next_cursor；不填从头开始"
    is_required: bool = False

    def read_text(self, request: web.Request) -> str:
        """Empty for the first page."""
        text = request.query.get(self.name, "")
        if re.fullmatch(self.pattern, text) is None:
            raise Invalid(f"参数 {self.name}：收到“{text[:40]}”，应为上一页回答里的 next_cursor")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


class NumberCursor(Cursor):
    """For lists that go by a number."""

    def read(self, request: web.Request) -> int | None:
        text = self.read_text(request)
        return int(text) if text else None


class PlaceCursor(Cursor):
    """For lists that go by a moment and, within it, by a number: "<milliseconds>.<id>"."""

    def read(self, request: web.Request) -> tuple[datetime, int] | None:
        millis, _, number = self.read_text(request).partition(".")
        return (from_millis(int(millis)), int(number)) if millis else None


class TextCursor(Cursor):
    """For lists that go by a key, or by what only they can read."""

    def read(self, request: web.Request) -> str:
        return self.read_text(request)


class _Limit(Number):
    """How many a page has at most."""

    __slots__ = ()

    def read_size(self, request: web.Request) -> int:
        return min(self.read(request) or _DEFAULT, MOST)


LIMIT = _Limit("limit", f"一页最多几条，默认 {_DEFAULT}，最多给 {MOST}", least=1)
CURSOR = NumberCursor("([0-9]{1,18})?")
PLACE = PlaceCursor(r"([0-9]{1,14}\.[0-9]{1,18})?")
KEY = TextCursor("([!-~]{1,128})?")
PAGED, PAGED_BY_PLACE, PAGED_BY_KEY = (CURSOR, LIMIT), (PLACE, LIMIT), (KEY, LIMIT)


def page_of(
    rows: Sequence[R],
    limit: int,
    describe: Callable[[R], T],
    key: Callable[[R], object] = lambda row: row.id,  # type: ignore[attr-defined]
) -> Page[T]:
    """The first `limit` of the rows, of which one more was asked for; `key` is what the next page begins after."""
    shown = rows[:limit]
    goes_on = len(rows) > limit
    return Page([describe(row) for row in shown], str(key(shown[-1])) if goes_on else None)


def page_of_few(
    request: web.Request, rows: Iterable[R], describe: Callable[[R], T], key: Callable[[R], str]
) -> Page[T]:
    """A page of a list that is short and read whole, such as what the shop has set up: by its keys, in their order."""
    after, limit = KEY.read(request), LIMIT.read_size(request)
    left = sorted((row for row in rows if not after or key(row) > after), key=key)
    return page_of(left[: limit + 1], limit, describe, key)


# The body -------------------------------------------------------------------------------------------------------------


def decode(body: bytes, kind: type[T], example: str) -> T:
    """A body as its type; raises Invalid with what was expected and what is wrong with it."""
    try:
        asked = msgspec.convert(_whole(msgspec.json.decode(body)), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"请求体应为 {example}（{error}）") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(f"请求体不是 JSON，应为 {example}") from None
    _require_keepable(msgspec.to_builtins(asked))
    return asked


def _whole(value: Any) -> Any:
    """1.0 is a whole number in JSON Schema, and not in Python."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {name: _whole(each) for name, each in value.items()} if isinstance(value, dict) else value


def _require_keepable(value: Any) -> None:
    """Also deep inside."""
    if isinstance(value, dict):
        require_keepable(value)
    elif isinstance(value, list):
        require_keepable({str(each)[:40]: each for each in value if isinstance(each, str)})
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_keepable(each)


def person_id_of(request: web.Request) -> int:
    """The customer whom the address names; raises NotFound for more digits than any number has."""
    digits = request.match_info["person_id"]
    if len(digits) > MOST_DIGITS:
        raise NotFound(f"没有客户 {digits[:40]}")
    return int(digits)
