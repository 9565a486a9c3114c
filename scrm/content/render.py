"""Fills an author's text with what we know of a customer, and refuses to say 「尊敬的 ，」."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scrm.content.variables import (
    FALLBACKS,
    FIELD,
    FIELD_NAMES,
    GROUPS,
    RADAR,
    RADAR_NAMES,
    TRIGGER,
    TRIGGER_NAMES,
    VARIABLES,
    find_key,
    suggest_name,
)

WELCOME_TEXT_BYTES = 4000  # doc 92137
CHAT_TEXT_CHARS = 2000  # not published for sendChatMessage; what is safe
LINK_TITLE_BYTES = 128
LINK_DESC_BYTES = 512
MAX_SOURCE_CHARS = 10_000

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Filter,
    nodes.If,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Compare,
    nodes.Operand,
    nodes.Const,
    nodes.CondExpr,
)
_FILTERS = ("default", "默认")


class MissingVariable(Exception):
    """Variables without a value and without a fallback; the step stops with 「缺少变量」."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"缺少变量：{'、'.join(title_of(name) for name in names)}")
        self.names = names


def title_of(key: str) -> str:
    """How people call a variable: `nickname` -> 客户昵称."""
    if key.startswith(f"{RADAR}."):
        return f"雷达链接“{key.partition('.')[2]}”（内容不存在或已下架）"
    return VARIABLES.get(key, (key,))[0]


def check(text: str) -> list[str]:
    """What an author has to mend before this text can be saved, in the author's words; empty when it is good."""
    if len(text) > MAX_SOURCE_CHARS:
        return [f"文字有 {len(text)} 个字，最多 {MAX_SOURCE_CHARS} 个"]
    try:
        tree = _environment.parse(text)
    except TemplateSyntaxError as error:
        return [f"第 {error.lineno} 行的 {{{{ }}}} 或 {{% %}} 写法不对（{error.message}）"]
    problems = [_unknown(name) for name in _names(tree) if find_key(name) is None]
    for node in _walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, nodes.Filter) and node.name not in _FILTERS):
            problems.append('文字里只能用变量、|默认("…") 和 {% if %}，不能用别的写法')
            break
    return problems


def variables_of(text: str) -> set[str]:
    """The keys of all variables in a text; unknown names are left out. Raises TemplateSyntaxError."""
    return {key for name in _names(_environment.parse(text)) if (key := find_key(name))}


def render(text: str, values: Mapping[str, Any]) -> str:
    """Fill a text; `values` is by key (`nickname`, `coupon.name`, `field.skin`), empty or absent means unknown.

    Raises MissingVariable when something is unknown that has neither a fallback in the text nor one of its own.
    """
    missing: list[str] = []
    template = _compile(text)
    # Shared: the names of the text are all there is, nothing global is copied beside them.
    context = template.new_context(_context(text, values, missing), shared=True)
    filled = "".join(template.root_render_func(context))
    if missing:
        raise MissingVariable(tuple(dict.fromkeys(missing)))
    return filled.strip()


def cut_bytes(text: str, limit: int) -> str:
    """The longest beginning of a text that fits into `limit` bytes of UTF-8, cut between characters."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    # A joiner or a variation selector at the end would change what stands before it.
    return raw[:limit].decode(errors="ignore").rstrip("\u200d\ufe0f")


class _Missing(Undefined):
    """A value nobody knows: false in an `if`, replaced by `default`; printed, it is the house's word or noted."""

    __slots__ = ("missing",)

    def __init__(self, name: str, missing: list[str]) -> None:
        super().__init__(name=name)
        self.missing = missing

    def __str__(self) -> str:
        key = str(self._undefined_name)
        if key not in FALLBACKS:
            self.missing.append(key)
        return FALLBACKS.get(key, "")


class _Group:
    """`coupon`, `field` or `trigger`: members by name, and no attribute of Python's own."""

    __slots__ = ("_find",)

    def __init__(self, find: Any) -> None:
        self._find = find

    def __getitem__(self, name: str) -> Any:
        return self._find(name)


def _context(text: str, values: Mapping[str, Any], missing: list[str]) -> dict[str, Any]:
    """Only what the text names: a shop sends many texts with few names in each."""

    def value(key: str) -> Any:
        found = values.get(key)
        written = "" if found is None else str(found).strip()
        return written or _Missing(key, missing)

    plain, groups = _written(text)
    context: dict[str, Any] = {name: value(key) for name, key in plain}
    for group in groups & GROUPS:
        context[group] = _Group(lambda name, group=group: value(f"{group}.{name}"))
    for group in groups.intersection(FIELD_NAMES):
        context[group] = _Group(lambda name: value(f"{FIELD}.{name}"))
    for group in groups.intersection(TRIGGER_NAMES):
        context[group] = _Group(lambda name: value(f"{TRIGGER}.{name}"))
    for group in groups.intersection(RADAR_NAMES):
        context[group] = _Group(lambda name: value(f"{RADAR}.{name}"))
    return context


@lru_cache(maxsize=2048)
def _written(text: str) -> tuple[tuple[tuple[str, str], ...], frozenset[str]]:
    """The names in a text: (written, key) of those that stand alone, and the groups."""
    names = _names(_environment.parse(text))
    plain = tuple((name, key) for name in names if "." not in name and (key := find_key(name)) is not None)
    return plain, frozenset(name.partition(".")[0] for name in names)


def _default(value: Any, fallback: str = "") -> Any:
    return value if value else fallback


def _refuse(*_: object) -> NoReturn:
    raise TypeError("texts cannot call anything")


class _Environment(ImmutableSandboxedEnvironment):
    """Reads members of groups only as items, so that {{ field.items }} is a field."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return obj[attribute] if isinstance(obj, _Group) else self.undefined(name=attribute)

    call = _refuse


_environment = _Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_environment.globals.clear()
_environment.filters = dict.fromkeys(_FILTERS, _default)
_environment.tests.clear()


@lru_cache(maxsize=2048)
def _compile(text: str) -> Template:
    return _environment.from_string(text)


def _walk(tree: nodes.Node) -> Iterator[nodes.Node]:
    yield tree
    for child in tree.iter_child_nodes():
        yield from _walk(child)


def _names(tree: nodes.Node) -> list[str]:
    """Written names in their order, a group with its member as one (`coupon.name`)."""
    if isinstance(tree, nodes.Getattr) and isinstance(tree.node, nodes.Name):
        return [f"{tree.node.name}.{tree.attr}"]
    if isinstance(tree, nodes.Name):
        return [tree.name]
    return list(dict.fromkeys(name for child in tree.iter_child_nodes() for name in _names(child)))


def _unknown(name: str) -> str:
    close = suggest_name(name)
    hint = f"，是不是想写 {{{{ {close} }}}}？" if close else "，可用的变量见文档“变量”一节"
    return f"不认识的变量 {{{{ {name} }}}}{hint}"
