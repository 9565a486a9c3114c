"""YAML that remembers its lines, and that cannot grow beyond what was written."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from yaml import CSafeLoader

MAX_CHARS = 200_000
MAX_DEPTH = 30

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?\d{1,15}\.\d{1,15}")
# What plain text may look like to YAML; anything else was written with a !tag.
_KINDS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
_WORDS = {"": None, "~": None, "null": None, "true": True, "True": True, "false": False, "False": False}


class SourceError(ValueError):
    """Text that is not the YAML we take; `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"第 {line} 行：{text}")
        self.line = line
        self.text = text


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its line: a scalar, a list of nodes, or nodes by key (then `lines` has those of the keys)."""

    value: Any
    line: int
    lines: dict[str, int]

    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of what stands at `path`, or of the nearest that is there."""
        node, line = self, self.line
        for part in path:
            if isinstance(node.value, dict) and part in node.value:
                line = node.lines[str(part)]
                node = node.value[part]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.line
            else:
                break
        return line


def read_source(text: str) -> Node:
    """Plain YAML without aliases, tags, doubled keys or several documents; raises SourceError."""
    if len(text) > MAX_CHARS:
        raise SourceError(1, f"文件有 {len(text)} 个字，最多 {MAX_CHARS} 个")
    try:
        _check_shape(text)
        root = yaml.compose(text, Loader=CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from None
    except yaml.YAMLError as error:
        raise SourceError(1, f"不是可读的文字（{str(error).splitlines()[0]}）") from None
    if root is None:
        raise SourceError(1, "文件是空的")
    return _read(root)


def _check_shape(text: str) -> None:
    """Before anything is built: depth, aliases, documents."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise SourceError(line, "不支持 YAML 的引用（* 和 &），请把内容写全")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise SourceError(line, f"套得太深，最多 {MAX_DEPTH} 层")
        if documents > 1:
            raise SourceError(line, "一个文件只能写一个剧本，请把 --- 之后的内容放进另一个文件")


def _read(node: yaml.Node) -> Node:
    line = node.start_mark.line + 1
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _KINDS:
        raise SourceError(line, f"不支持标记 {node.tag}")
    if isinstance(node, yaml.MappingNode):
        return _read_mapping(node, line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_read(part) for part in node.value], line, {})
    is_plain = isinstance(node, yaml.ScalarNode) and not node.style
    return Node(_scalar(str(node.value), is_plain=is_plain), line, {})


def _read_mapping(node: yaml.MappingNode, line: int) -> Node:
    values: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SourceError(key_line, "含 {{ }} 的文字要用引号括起来，或写成 | 多行文字")
        key = str(key_node.value)
        if key in values:
            raise SourceError(key_line, f"“{key}”写了两次（第一次在第 {lines[key]} 行），请只留一个")
        values[key], lines[key] = _read(value_node), key_line
    return Node(values, line, lines)


def _scalar(text: str, *, is_plain: bool) -> Any:
    """Only what is surely meant becomes a number: 10:30, 0755, yes and 2026-03-01 stay text."""
    if not is_plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _explained(error: yaml.MarkedYAMLError, text: str) -> SourceError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    near = "\n".join(text.splitlines()[max(0, line - 2) : line])
    if "\t" in near:
        return SourceError(line, "不能用制表符（Tab）缩进，请用空格")
    if "{{" in near or "{%" in near:
        return SourceError(line, "含 {{ }} 的文字要用引号括起来，或写成 | 多行文字")
    return SourceError(line, f"YAML 写法不对，请检查缩进、冒号后的空格和引号（{error.problem or error.context}）")
