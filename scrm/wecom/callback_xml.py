"""The XML inside a callback as plain data; what WeCom never sends (DTDs, entities, great depth) is refused."""

from typing import Any
from xml.parsers import expat

Fields = dict[str, Any]  # text, a nested dict, or a list of either where an element repeats

_MAX_DEPTH = 12


class Unreadable(Exception):
    """A rightly signed body that is not what WeCom documents; `str()` says why, to the manager who finds it."""


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


def find_all(fields: Fields, path: str) -> list[Any]:
    """Every value at `A/B/C`, in the order of the document; [] where there is none."""
    found: list[Any] = [fields]
    for name in path.split("/"):
        inside = [parent[name] for parent in found if isinstance(parent, dict) and name in parent]
        found = [one for value in inside for one in (value if isinstance(value, list) else [value])]
    return found


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
