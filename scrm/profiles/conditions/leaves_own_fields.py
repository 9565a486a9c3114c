"""The shop's own fields in conditions: `field.<key>` of a person, `order_field.<key>`, `follow_field.<key>`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, FromClause, String, and_, literal, table

from scrm.profiles import models
from scrm.profiles.conditions.fields import CUSTOM, FIELDS, DefinedKey, Field, Kind, PersonId
from scrm.profiles.own_fields import formulas as custom_formulas
from scrm.profiles.own_fields.fields import list_fields
from scrm.profiles.own_fields.tables import follow_user_field, order_field
from scrm.profiles.own_fields.values import CustomField, Entity, Type

PREFIXES = {Entity.PERSON: CUSTOM, Entity.ORDER: "order_field.", Entity.RELATION: "follow_field."}
_TITLES = {Entity.PERSON: "", Entity.ORDER: "订单的", Entity.RELATION: "好友关系的"}
_KINDS = {
    Type.TEXT: Kind.TEXT,
    Type.NUMBER: Kind.NUMBER,
    Type.MONEY: Kind.NUMBER,  # kept beside the fen in yuan, as authors write it
    Type.DATE: Kind.DATE,
    Type.SELECT: Kind.CHOICE,
    Type.MULTI_SELECT: Kind.CHOICES,
    Type.PHONE: Kind.SEALED,
    Type.MEMBER: Kind.TEXT,
    Type.URL: Kind.TEXT,
    Type.FORMULA: Kind.NUMBER,
}
_NUMBERS = (Type.NUMBER, Type.MONEY, Type.DATE)

person_field = models.person_field.alias("own_field")
kept_of_order = order_field.alias("own_order_field")
kept_of_relation = follow_user_field.alias("own_follow_field")
follow_user = models.follow_user.alias("own_follow")
# Commerce is above this layer: only what names an order's owner.
orders = table("orders", Column("id", BigInteger), Column("person_id", BigInteger)).alias("own_order")

Rows = Callable[[PersonId], tuple[FromClause, ColumnElement[bool]]]


def list_condition_fields(conn: Connection) -> list[Field]:
    """Every field that a condition may ask for, the shop's own at the end; operators are OPERATORS_OF[kind]."""
    return [*FIELDS, *(as_field(each) for each in list_fields(conn))]


def with_definitions(conn: Connection, tree: Any) -> Any:
    """The tree with its own fields looked up; archived ones, and ones that cannot have a value, are nobody's."""
    if not _names_own(tree):
        return tree
    known = {PREFIXES[each.entity] + each.key: each for each in list_fields(conn, with_archived=True)}
    return _defined(tree, known)


def _names_own(tree: Any) -> bool:
    if isinstance(tree, list):
        return any(_names_own(part) for part in tree)
    if not isinstance(tree, Mapping):
        return False
    return _is_own(tree.get("field")) or any(
        _names_own(tree[group]) for group in ("all", "any", "not") if group in tree
    )


def _is_own(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(tuple(PREFIXES.values()))


def _defined(tree: Any, known: Mapping[str, CustomField]) -> Any:
    if isinstance(tree, list):
        return [_defined(part, known) for part in tree]
    if not isinstance(tree, Mapping):
        return tree
    if not _is_own(tree.get("field")):
        return {name: _defined(part, known) if name in ("all", "any", "not") else part for name, part in tree.items()}
    key, field = tree["field"], known.get(tree["field"])
    if field is None and key.startswith(CUSTOM):
        return tree  # what playbooks set without a definition
    return {**tree, "field": DefinedKey(key, None if field is None or field.archived_at else as_field(field))}


def as_field(field: CustomField) -> Field:
    """A field of the shop's own as conditions ask for it; of orders and relations any may fit."""
    key, title = PREFIXES[field.entity] + field.key, f"{_TITLES[field.entity]}{field.title}"
    title += "（元）" if field.type is Type.MONEY else ""
    choices = {option: option for option in field.options}
    is_single = field.entity is Entity.PERSON
    kind = _KINDS[field.type]
    if field.type is Type.FORMULA:
        return Field(
            key, title, kind, _formula(field), None if is_single else _OWNERS[field.entity], is_single=is_single
        )
    kept, rows = _kept(field)
    column = kept.c.number_value if field.type in _NUMBERS else kept.c.text_value
    owner = _PERSONS.get(field.entity)
    return Field(key, title, kind, lambda person_id, now: column, rows, choices, is_single, owner=owner)


def _formula(field: CustomField) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        owner = {
            Entity.PERSON: (person_id,),
            Entity.ORDER: (orders.c.id,),
            Entity.RELATION: (follow_user.c.userid, follow_user.c.external_userid),
        }[field.entity]
        return custom_formulas.sql_of(field, owner, now)

    return value


def _kept(field: CustomField) -> tuple[Any, Rows]:
    key = literal(field.key, String)
    if field.entity is Entity.PERSON:
        return person_field, lambda person_id: (
            person_field,
            and_(person_field.c.person_id == person_id, person_field.c.key == key),
        )
    if field.entity is Entity.ORDER:
        of_order = kept_of_order.join(orders, orders.c.id == kept_of_order.c.order_id)
        return kept_of_order, lambda person_id: (
            of_order,
            and_(orders.c.person_id == person_id, _hidden(kept_of_order.c.key) == key),
        )
    of_relation = kept_of_relation.join(follow_user, _same_relation())
    return kept_of_relation, lambda person_id: (
        of_relation,
        and_(_living(person_id), _hidden(kept_of_relation.c.key) == key),
    )


def _hidden(column: ColumnElement[str]) -> ColumnElement[str]:
    """As an expression: a planner without figures would begin with everybody's values of the field, for each person."""
    return column.concat("")


def _same_relation() -> ColumnElement[bool]:
    return and_(
        follow_user.c.userid == kept_of_relation.c.userid,
        follow_user.c.external_userid == kept_of_relation.c.external_userid,
    )


def _living(person_id: PersonId) -> ColumnElement[bool]:
    return and_(follow_user.c.person_id == person_id, follow_user.c.ended_by == "")


# Whose a value is: for an audience their persons are found at once.
_PERSONS = {Entity.ORDER: orders.c.person_id, Entity.RELATION: follow_user.c.person_id}
_OWNERS: dict[Entity, Rows] = {
    Entity.ORDER: lambda person_id: (orders, orders.c.person_id == person_id),
    Entity.RELATION: lambda person_id: (follow_user, _living(person_id)),
}
