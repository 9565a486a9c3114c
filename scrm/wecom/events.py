"""Callbacks as plain data: XML to a tree of fields, names as WeCom spells them (docs 90239, 90240, 92130)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.parsers import expat

Fields = dict[str, Any]  # text, a nested dict, or a list of either where an element repeats

_MAX_DEPTH = 12


class Unreadable(Exception):
    """A rightly signed body that is not what WeCom documents; `str()` says why, to the manager who finds it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One callback: `name` is Event (or MsgType for messages), `change_type` is ChangeType or empty."""

    name: str
    change_type: str
    created_at: datetime
    fields: Fields

    def text(self, key: str) -> str:
        """The element's text; empty when it is absent, empty or has children."""
        value = self.fields.get(key, "")
        return value if isinstance(value, str) else ""


def parse_event(body: bytes) -> Event:
    """Raises Unreadable when the body is not XML, has a DTD, or names no event."""
    fields = parse_xml(body)
    kind = fields.get("MsgType")
    name = fields.get("Event") if kind == "event" else kind
    # The oldest events had no MsgType beside Event.
    name = name or fields.get("Event")
    if not isinstance(name, str) or not name:
        raise Unreadable("XML 里既没有 Event 也没有 MsgType")
    change_type = fields.get("ChangeType", "")
    return Event(name, change_type if isinstance(change_type, str) else "", _created_at(fields), fields)


def _created_at(fields: Fields) -> datetime:
    try:
        return datetime.fromtimestamp(int(fields["CreateTime"]), UTC)
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        raise Unreadable("CreateTime 缺失，或不是秒数") from None


def parse_xml(body: bytes) -> Fields:
    """Children of the root as {name: text | dict | list}; refuses DTDs, entities, great depth and broken XML."""
    tree = _Tree()
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = tree.refuse_dtd
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.characters
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Unreadable(f"不是 XML：{error}") from None
    if not isinstance(tree.root, dict):
        raise Unreadable("XML 里没有任何元素")
    return tree.root


class _Tree:
    def __init__(self) -> None:
        self.root: Any = None
        self._open: list[tuple[str, Fields, list[str]]] = []

    def refuse_dtd(self, *args: Any) -> None:
        raise Unreadable("XML 里声明了 DTD")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise Unreadable("XML 嵌套过深")
        self._open.append((name, {}, []))

    def characters(self, text: str) -> None:
        self._open[-1][2].append(text)

    def end(self, name: str) -> None:
        name, children, texts = self._open.pop()
        value: Any = children or "".join(texts).strip()
        if not self._open:
            self.root = value
            return
        siblings = self._open[-1][1]
        if name not in siblings:
            siblings[name] = value
        elif isinstance(siblings[name], list):
            siblings[name].append(value)
        else:
            siblings[name] = [siblings[name], value]
