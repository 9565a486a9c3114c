"""Formulas over a shop's own fields and totals: a small language of numbers, parsed here and reckoned by the database.

`(paid - refunded) / orders`: names, numbers, + - * /, comparisons (1 or 0), `if(condition, then, else)`,
`default(value, number)` and `days_since(date field)`. What is unknown, and a division by nothing, is no number.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Double,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    select,
    table,
    tuple_,
)

from scrm.profiles import models
from scrm.profiles.conditions.fields import FIELDS, Kind
from scrm.profiles.own_fields.tables import follow_user_field, order_field
from scrm.profiles.own_fields.values import CustomField, Entity, Type, days_of

MOST_LETTERS = 300
MOST_PARTS = 16  # so that no product of numbers below 10**15 leaves what a double holds
MOST_DEPTH = 12

# Commerce is above this layer: only what a formula needs of its table.
orders = table(
    "orders", Column("id", BigInteger), Column("person_id", BigInteger), Column("paid_fen", BigInteger)
).alias("reckoned_order")
person = models.person.alias("reckoned_person")
person_field = models.person_field.alias("reckoned_field")
kept_of_order = order_field.alias("reckoned_order_field")
kept_of_relation = follow_user_field.alias("reckoned_relation_field")
follow_user = models.follow_user.alias("reckoned_follow")

TOTALS = {
    known.key: known for known in FIELDS if known.key.startswith("person.") and known.kind in (Kind.NUMBER, Kind.YUAN)
}
_ORDER_TOTALS = {"order.paid": ("实付（元）", orders.c.paid_fen)}
_FUNCTIONS = {"if": 3, "default": 2, "days_since": 1}
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|((?:person|order)\.\w+|[^\W\d]\w*)|(<=|>=|==|!=|[-+*/()<>,=]))")
_FULL_WIDTH = str.maketrans("（），＋－×＊÷／＜＞＝", "(),+-**//<>=")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@dataclass(frozen=True, slots=True)
class Node:
    """`op` is `number`, `name`, a sign or a function's name."""

    op: str
    parts: tuple["Node", ...] = ()
    number: float = 0.0
    name: str = ""


def parse(text: str) -> Node:
    """Raises ValueError with one line for the author."""
    if len(text) > MOST_LETTERS:
        raise ValueError(f"公式有 {len(text)} 个字，最多 {MOST_LETTERS} 个")
    parser = _Parser(list(_tokens(text.translate(_FULL_WIDTH).strip())))
    node = parser.whole()
    if sum(1 for each in walk(node) if each.parts) > MOST_PARTS:
        raise ValueError(f"公式太长：最多 {MOST_PARTS} 次运算")
    return node


def walk(node: Node) -> Iterator[Node]:
    yield node
    for part in node.parts:
        yield from walk(part)


def names(text: str) -> set[str]:
    """The fields and totals that a formula names; raises ValueError."""
    return {node.name for node in walk(parse(text)) if node.op == "name"}


def check(text: str, entity: Entity, known: Mapping[str, CustomField]) -> None:
    """Raises ValueError with one line for the author when a formula cannot be reckoned."""
    node = parse(text)
    days = {part.name for each in walk(node) if each.op == "days_since" for part in each.parts}
    for name in sorted({each.name for each in walk(node) if each.op == "name"}):
        field = known.get(name)
        if field is None and name not in _totals(entity):
            close = get_close_matches(name, [*known, *_totals(entity)], n=1, cutoff=0.5)
            hint = f"，是不是想写 {close[0]}？" if close else f"，可用：{'、'.join([*known, *_totals(entity)][:12])}"
            raise ValueError(f"公式里不认识“{name}”{hint}")
        if field is not None and field.type is Type.DATE and name not in days:
            raise ValueError(f"“{field.title}”是日期，公式里要写成 days_since({name})：距今天数")
        if field is not None and field.type is not Type.DATE and name in days:
            raise ValueError(f"days_since 里要写日期字段，“{field.title}”不是日期")
        if field is None and name in days:
            raise ValueError(f"days_since 里要写日期字段，{name} 不是日期")
        if field is not None and field.type not in (Type.NUMBER, Type.MONEY, Type.DATE):
            raise ValueError(f"公式只能用数字、金额和日期字段，“{field.title}”不是")


def _totals(entity: Entity) -> Collection[str]:
    if entity is Entity.PERSON:
        return TOTALS
    return _ORDER_TOTALS if entity is Entity.ORDER else ()


def shown(number: float) -> str:
    """At most two decimals."""
    return f"{number:.2f}".rstrip("0").rstrip(".") if abs(number) < 10**15 else f"{number:.3g}"


def reckon(
    conn: Connection, field: CustomField, subjects: Collection[tuple[Any, ...]], now: datetime
) -> dict[tuple[Any, ...], float | None]:
    """The formula's number for each owner (<= 1,000), None where something is unknown."""
    if not subjects:
        return {}
    source, owner = _OWNERS[field.entity]
    result = sql_of(field, owner, now)
    which = owner[0].in_([subject[0] for subject in subjects])
    if len(owner) > 1:
        which = tuple_(*owner).in_(list(subjects))
    return {tuple(row[:-1]): row[-1] for row in conn.execute(select(*owner, result).select_from(source).where(which))}


def sql_of(field: CustomField, owner: tuple[ColumnElement[Any], ...], now: datetime) -> ColumnElement[Any]:
    """The formula as SQL about `owner` (the columns that name a person, an order or a relation); NULL for no number."""
    try:
        node = parse(field.formula)
    except ValueError:
        return cast(None, Double)
    today = days_of(now.astimezone(ZoneInfo("Asia/Shanghai")).date())
    return _sql(node, lambda name: _operand(field.entity, owner, name, now), today)


def _operand(entity: Entity, owner: tuple[ColumnElement[Any], ...], name: str, now: datetime) -> ColumnElement[Any]:
    if name in TOTALS:
        total = cast(TOTALS[name].value(owner[0], now), Double)
        return total / 100.0 if TOTALS[name].kind is Kind.YUAN else total
    if name in _ORDER_TOTALS:
        return cast(select(orders.c.paid_fen).where(orders.c.id == owner[0]).scalar_subquery(), Double) / 100.0
    kept, columns = _KEPT[entity]
    mine = and_(
        kept.c.key == literal(name, String), *(column == part for column, part in zip(columns, owner, strict=True))
    )
    return select(kept.c.number_value).where(mine).scalar_subquery()


_OWNERS: dict[Entity, tuple[Any, tuple[ColumnElement[Any], ...]]] = {
    Entity.PERSON: (person, (person.c.id,)),
    Entity.ORDER: (orders, (orders.c.id,)),
    Entity.RELATION: (follow_user, (follow_user.c.userid, follow_user.c.external_userid)),
}
_KEPT: dict[Entity, tuple[Any, tuple[ColumnElement[Any], ...]]] = {
    Entity.PERSON: (person_field, (person_field.c.person_id,)),
    Entity.ORDER: (kept_of_order, (kept_of_order.c.order_id,)),
    Entity.RELATION: (kept_of_relation, (kept_of_relation.c.userid, kept_of_relation.c.external_userid)),
}


def _sql(node: Node, operand: Callable[[str], ColumnElement[Any]], today: int) -> ColumnElement[Any]:
    if node.op == "number":
        return literal(node.number, Double)
    if node.op == "name":
        return operand(node.name)
    if node.op == "days_since":
        return literal(float(today), Double) - operand(node.parts[0].name)
    parts = [_sql(part, operand, today) for part in node.parts]
    if node.op in _COMPARISONS:
        fits = _COMPARISONS[node.op](*parts)
        return case((fits, literal(1.0, Double)), (fits.is_(None), cast(None, Double)), else_=literal(0.0, Double))
    if node.op == "if":
        return case((parts[0] != literal(0.0, Double), parts[1]), else_=parts[2])
    if node.op == "default":
        return func.coalesce(*parts)
    if node.op == "/":
        return parts[0] / func.nullif(parts[1], literal(0.0, Double))
    if node.op == "negative":
        return literal(0.0, Double) - parts[0]
    return parts[0] + parts[1] if node.op == "+" else parts[0] - parts[1] if node.op == "-" else parts[0] * parts[1]


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"公式里看不懂“{text[at:].strip()[:10]}”，可用字段、数字、+ - * / ( ) 和比较")
        yield found[0].strip()
        at = found.end()


class _Parser:
    """Recursive descent: comparison, sum, product, sign, value."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def whole(self) -> Node:
        if not self._tokens:
            raise ValueError("公式是空的")
        node = self._comparison()
        if self._next():
            raise ValueError(f"公式里“{self._next()}”前面少了运算符号")
        return node

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise ValueError(f"公式里应有“{token}”，" + (f"写的是“{self._next()}”" if self._next() else "后面没有了"))
        self._at += 1

    def _comparison(self) -> Node:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ValueError(f"公式的括号套得太深，最多 {MOST_DEPTH} 层")
        left = self._sum()
        if (sign := self._next().replace("=", "==") if self._next() == "=" else self._next()) in _COMPARISONS:
            self._at += 1
            left = Node(sign, (left, self._sum()))
        self._depth -= 1
        return left

    def _sum(self) -> Node:
        left = self._product()
        while self._next() in ("+", "-"):
            left = Node(self._take(), (left, self._product()))
        return left

    def _product(self) -> Node:
        left = self._signed()
        while self._next() in ("*", "/"):
            left = Node(self._take(), (left, self._signed()))
        return left

    def _signed(self) -> Node:
        if self._next() == "-":
            self._at += 1
            return Node("negative", (self._value(),))
        return self._value()

    def _value(self) -> Node:
        written = self._take()
        if written == "(":
            inner = self._comparison()
            self._expect(")")
            return inner
        if written[:1].isdigit():
            if len(written) > 16:
                raise ValueError(f"公式里的数字“{written[:20]}”太长")
            return Node("number", number=float(written))
        if written in _FUNCTIONS and self._next() == "(":
            return self._call(written)
        if not written or not (written[0].isalpha() or written[0] == "_"):
            raise ValueError(f"公式里“{written}”的位置应是字段或数字" if written else "公式没有写完")
        return Node("name", name=written)

    def _call(self, function: str) -> Node:
        self._expect("(")
        parts = [self._comparison()]
        while self._next() == ",":
            self._at += 1
            parts.append(self._comparison())
        self._expect(")")
        if len(parts) != _FUNCTIONS[function]:
            raise ValueError(f"{function} 里要写 {_FUNCTIONS[function]} 项，写了 {len(parts)} 项")
        if function == "days_since" and parts[0].op != "name":
            raise ValueError("days_since 里要写日期字段")
        return Node(function, tuple(parts))
