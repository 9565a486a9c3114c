"""Fields of the shop's own: defined, listed, archived; values set, read, shown, with their history."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from scrm import audit
from scrm.db.upsert import upsert
from scrm.db.vault import Vault
from scrm.errors import Conflict, Invalid, NotFound
from scrm.profiles.models import follow_user, member, person_field
from scrm.profiles.own_fields import formulas, values
from scrm.profiles.own_fields.tables import MOST_TEXT, custom_field, field_change, follow_user_field, order_field
from scrm.profiles.own_fields.values import SEPARATORS, CustomField, Entity, Type

MOST_FIELDS = 200
MOST_OPTIONS = 100
MOST_OPTION = 40

Subject = tuple[Any, ...]


class Definition(NamedTuple):
    """What a shop says of a field, as a form or a program gives it."""

    title: str
    type: str
    key: str = ""
    hint: str = ""
    is_required: bool = False
    is_unique: bool = False
    options: tuple[str, ...] = ()
    default_text: str = ""
    least: str = ""
    most: str = ""
    formula: str = ""


class Change(NamedTuple):
    """Who acts, and by which way the value comes: `staff`, `api`, `import`, `playbook:<key>`."""

    source: str
    actor: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A field with what one owner has in it; `text` is for readers, `form` for an input."""

    field: CustomField
    value: Any
    text: str
    form: str
    changed_at: datetime | None = None


# Definitions ----------------------------------------------------------------------------------------------------------


def list_fields(conn: Connection, entity: str | None = None, *, with_archived: bool = False) -> list[CustomField]:
    """All fields in their order, of one entity or of all; archived ones only when asked for."""
    query = select(custom_field).order_by(custom_field.c.entity, custom_field.c.position, custom_field.c.key)
    if entity is not None:
        query = query.where(custom_field.c.entity == entity)
    if not with_archived:
        query = query.where(custom_field.c.archived_at.is_(None))
    return [_field(row) for row in conn.execute(query)]


def find_field(conn: Connection, entity: str, key: str, *, with_archived: bool = False) -> CustomField | None:
    query = select(custom_field).where(custom_field.c.entity == entity, custom_field.c.key == key)
    row = conn.execute(query).one_or_none()
    return _field(row) if row is not None and (with_archived or row.archived_at is None) else None


def _field(row: Row[Any]) -> CustomField:
    return CustomField(
        entity=Entity(row.entity),
        key=row.key,
        title=row.title,
        type=Type(row.type),
        hint=row.hint,
        is_required=row.is_required,
        is_unique=row.is_unique,
        options=tuple(row.options),
        default_text=row.default_text,
        least=row.least,
        most=row.most,
        formula=row.formula,
        position=row.position,
        archived_at=row.archived_at,
    )


def define(conn: Connection, entity: str, said: Definition, now: datetime) -> CustomField:
    """A new field at the end of its list; raises Invalid in one line, Conflict when the key was used before."""
    if entity not in list(Entity):
        raise Invalid(f"字段属于客户 person、订单 order 或好友关系 relation，收到的是“{entity[:20]}”")
    field = _checked(Entity(entity), said, said.key.strip() or said.title.strip())
    known = list_fields(conn, entity, with_archived=True)
    if used := next((each for each in known if each.key == field.key), None):
        state = "已归档，可以恢复它" if used.archived_at else "已存在"
        raise Conflict(f"字段标识“{field.key}”{state}（{used.title}）。标识不能重复使用，请换一个")
    if len(known) >= MOST_FIELDS:
        raise Conflict(f"{values.ENTITY_TITLES[field.entity]}最多 {MOST_FIELDS} 个自定义字段")
    _check_formula(conn, field)
    position = max((each.position for each in known), default=0) + 1
    row = {name: getattr(field, name) for name in _COLUMNS} | {"position": position, "options": list(field.options)}
    try:
        with conn.begin_nested():
            conn.execute(insert(custom_field).values(**row, created_at=now))
    except IntegrityError:
        raise Conflict(f"字段标识“{field.key}”已存在，请换一个") from None
    audit.changed(conn, "custom_field", f"{entity}:{field.key}", None, row)
    return _found(conn, entity, field.key)


_COLUMNS = (
    *("entity", "key", "title", "type", "hint", "is_required", "is_unique"),
    *("options", "default_text", "least", "most", "formula"),
)


@audit.keeps("custom_field", custom_field.c.entity, custom_field.c.key, of=("entity", "key"))
def change(conn: Connection, entity: str, key: str, said: Definition) -> CustomField:
    """Everything but key and type may change; `is_unique` only while nobody has a value."""
    before = _found(conn, entity, key)
    if said.type != before.type:
        raise Conflict(f"“{before.title}”的类型不能修改：已有的值会读不懂。请新建一个字段，再把这个归档")
    after = _checked(before.entity, said, key)
    if after.is_unique and not before.is_unique and count_values(conn, entity, key):
        raise Conflict(f"“{before.title}”已有值，不能再改为“不可重复”。请新建一个不可重复的字段")
    _check_formula(conn, after)
    row = {name: getattr(after, name) for name in _COLUMNS} | {"options": list(after.options)}
    conn.execute(_this(update(custom_field), entity, key).values(**row))
    if before.is_unique and not after.is_unique:
        table = _TABLES[before.entity].table
        conn.execute(update(table).where(table.c.key == key).values(claim=None))
    return _found(conn, entity, key)


@audit.keeps("custom_field", custom_field.c.entity, custom_field.c.key, of=("entity", "key"))
def archive(conn: Connection, entity: str, key: str, now: datetime) -> None:
    """Takes the field from every form and list; its values and history stay. Formulas may not name it."""
    field = _found(conn, entity, key)
    users = [
        each for each in list_fields(conn, entity) if each.type is Type.FORMULA and key in formulas.names(each.formula)
    ]
    if users:
        raise Conflict(f"公式“{users[0].title}”用到了“{field.title}”，请先修改或归档那个公式")
    conn.execute(_this(update(custom_field), entity, key).values(archived_at=now))


@audit.keeps("custom_field", custom_field.c.entity, custom_field.c.key, of=("entity", "key"))
def restore(conn: Connection, entity: str, key: str) -> CustomField:
    if find_field(conn, entity, key, with_archived=True) is None:
        raise NotFound("没有这个自定义字段")
    conn.execute(_this(update(custom_field), entity, key).values(archived_at=None))
    return _found(conn, entity, key)


@audit.keeps("custom_field", custom_field.c.entity, custom_field.c.key, of=("entity", "key"))
def move(conn: Connection, entity: str, key: str, up: bool) -> None:
    """One place up or down among the fields that are shown."""
    keys = [each.key for each in list_fields(conn, entity)]
    _found(conn, entity, key)
    here = keys.index(key)
    there = max(here - 1, 0) if up else min(here + 1, len(keys) - 1)
    keys[here], keys[there] = keys[there], keys[here]
    for position, each in enumerate(keys, 1):
        conn.execute(_this(update(custom_field), entity, each).values(position=position))


def count_values(conn: Connection, entity: str, key: str) -> int:
    table = _TABLES[Entity(entity)].table
    counted = select(func.count()).select_from(table).where(table.c.key == key, table.c.text_value.is_not(None))
    return int(conn.execute(counted).scalar_one())


def _this(statement: Any, entity: str, key: str) -> Any:
    return statement.where(custom_field.c.entity == entity, custom_field.c.key == key)


def _found(conn: Connection, entity: str, key: str) -> CustomField:
    field = find_field(conn, entity, key)
    if field is None:
        raise NotFound(f"没有自定义字段“{key[:40]}”，可能已归档")
    return field


def _check_formula(conn: Connection, field: CustomField) -> None:
    if field.type is not Type.FORMULA:
        return
    try:
        formulas.check(field.formula, field.entity, {each.key: each for each in list_fields(conn, field.entity)})
    except ValueError as error:
        raise Invalid(str(error)) from None


def _checked(entity: Entity, said: Definition, key: str) -> CustomField:
    title = said.title.strip()
    if not 0 < len(title) <= 40:
        raise Invalid("字段名称要有 1 到 40 个字")
    if not key.isidentifier() or len(key) > 40:
        raise Invalid(f"字段标识“{key[:40]}”只能用字母、数字、下划线或汉字，不能以数字开头，最多 40 个字")
    if said.type not in list(Type):
        raise Invalid(f"不认识的字段类型“{said.type[:20]}”，可用：{'、'.join(Type)}")
    kind = Type(said.type)
    if kind is Type.FORMULA and not said.formula.strip():
        raise Invalid(f"“{title}”是公式，请填写公式，如 person.paid / person.paid_orders")
    field = CustomField(
        entity=entity,
        key=key,
        title=title,
        type=kind,
        hint=said.hint.strip()[:120],
        is_required=said.is_required and kind is not Type.FORMULA,
        is_unique=said.is_unique and kind not in (Type.FORMULA, Type.MULTI_SELECT),
        options=_options(title, said.options) if kind in (Type.SELECT, Type.MULTI_SELECT) else (),
        default_text=said.default_text.strip()[:MOST_TEXT] if kind not in (Type.FORMULA, Type.PHONE) else "",
        least=said.least.strip()[:40],
        most=said.most.strip()[:40],
        formula=said.formula.strip() if kind is Type.FORMULA else "",
    )
    return _with_good_examples(field)


def _options(title: str, given: Iterable[str]) -> tuple[str, ...]:
    options = tuple(dict.fromkeys(option.strip() for option in given if option.strip()))
    if not options:
        raise Invalid(f"“{title}”要有选项，每行一个")
    if len(options) > MOST_OPTIONS:
        raise Invalid(f"“{title}”有 {len(options)} 个选项，最多 {MOST_OPTIONS} 个")
    for option in options:
        if len(option) > MOST_OPTION or re.search(f"[{re.escape(SEPARATORS)}]", option):
            raise Invalid(f"选项“{option[:MOST_OPTION]}”最多 {MOST_OPTION} 个字，不能有顿号、逗号、分号和竖线")
    if len({option.casefold() for option in options}) < len(options):
        raise Invalid(f"“{title}”的选项只差大小写，请改成不同的名字")
    return options


def _with_good_examples(field: CustomField) -> CustomField:
    """Bounds and default are values themselves, and the default keeps to the bounds."""
    if field.type in (Type.NUMBER, Type.MONEY, Type.DATE):
        try:
            least, most = (values.read_bound(field, bound) for bound in (field.least, field.most))
        except ValueError as error:
            raise Invalid(f"最小值或最大值不对：{error}") from None
        if least is not None and most is not None and least > most:
            raise Invalid(f"“{field.title}”的最小值 {field.least} 大于最大值 {field.most}")
    if field.default_text and field.is_unique:
        raise Invalid(f"“{field.title}”不可重复，就不能有默认值：大家会得到同一个值")
    try:
        values.read(field, field.default_text)
    except ValueError as error:
        raise Invalid(f"默认值不对：{error}") from None
    return field


# Values ---------------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where an entity's values are, and what names their owner."""

    table: Table
    owner: tuple[str, ...]
    other: str


_TABLES: dict[Entity, _Place] = {
    Entity.PERSON: _Place(person_field, ("person_id",), "另一位客户"),
    Entity.ORDER: _Place(order_field, ("order_id",), "另一个订单"),
    Entity.RELATION: _Place(follow_user_field, ("userid", "external_userid"), "另一个好友关系"),
}


def place_of(entity: str) -> tuple[Table, tuple[str, ...]]:
    """Where an entity's values are, and the columns that name their owner."""
    place = _TABLES[Entity(entity)]
    return place.table, place.owner


def set_values(
    conn: Connection,
    entity: str,
    subject: Subject,
    given: Mapping[str, Any],
    by: Change,
    *,
    vault: Vault | None = None,
    person_id: int | None = None,
    is_whole: bool = False,
) -> list[str]:
    """Sets what is given, each key with its history; returns the keys that changed. An empty value clears.

    `subject` is (person_id,), (order_id,) or (userid, external_userid); `person_id` is whose it is, for the history.
    With `is_whole`, as from a form of all fields, required ones may not be absent. Raises Invalid and Conflict.
    """
    kept_entity = Entity(entity)
    fields = {field.key: field for field in list_fields(conn, entity)}
    if unknown := [key for key in given if key not in fields]:
        raise Invalid(f"没有自定义字段“{unknown[0][:40]}”，可能已归档。可用：{'、'.join(fields) or '还没有建字段'}")
    read = {key: _read(conn, fields[key], value) for key, value in given.items()}
    kept = _kept(conn, kept_entity, subject)
    for field in fields.values():
        is_missing = read.get(field.key) is None if field.key in read else is_whole and field.key not in kept
        if field.is_required and is_missing:
            raise Invalid(f"“{field.title}”必填")
    owner = subject[0] if kept_entity is Entity.PERSON else person_id
    changed = [
        key for key, value in read.items() if _set(conn, fields[key], subject, value, kept.get(key), by, vault, owner)
    ]
    before = {key: kept[key].value if key in kept else None for key in changed}
    audit.changed(conn, entity, ":".join(map(str, subject)), before, {key: read[key] for key in changed})
    return changed


def _read(conn: Connection, field: CustomField, given: Any) -> Any:
    try:
        value = values.read(field, given)
    except ValueError as error:
        raise Invalid(str(error)) from None
    return _member(conn, field, value) if field.type is Type.MEMBER and value is not None else value


def _member(conn: Connection, field: CustomField, given: str) -> str:
    """The userid as WeCom spells it, found by itself or by a name that only one member has."""
    query = select(member.c.userid).where((member.c.folded == given.casefold()) | (member.c.name == given)).limit(2)
    found = list(conn.execute(query).scalars())
    if len(found) != 1:
        raise Invalid(
            f"“{field.title}”{'有多位员工叫' if found else '找不到员工'}“{given[:40]}”，请填员工账号（userid）"
        )
    return str(found[0])


def members_by_name(conn: Connection) -> dict[str, str]:
    """userid by itself and by the name that only one member has, folded."""
    rows = conn.execute(select(member.c.userid, member.c.name, member.c.folded)).all()
    names = Counter(row.name.casefold() for row in rows)
    unique = {row.name.casefold(): str(row.userid) for row in rows if names[row.name.casefold()] == 1}
    return unique | {row.folded: str(row.userid) for row in rows}


def _kept(conn: Connection, entity: Entity, subject: Subject) -> dict[str, Row[Any]]:
    table = _TABLES[entity].table
    query = select(table).where(_owned(entity, subject), table.c.value.is_not(None)).with_for_update()
    return {row.key: row for row in conn.execute(query)}


def _owned(entity: Entity, subject: Subject) -> ColumnElement[bool]:
    place = _TABLES[entity]
    return and_(*(place.table.c[name] == part for name, part in zip(place.owner, subject, strict=True)))


def _set(
    conn: Connection,
    field: CustomField,
    subject: Subject,
    value: Any,
    kept: Row[Any] | None,
    by: Change,
    vault: Vault | None,
    person_id: int | None,
) -> bool:
    """Whether the value is another one than before."""
    place = _TABLES[field.entity]
    before = kept.value if kept is not None else None
    if field.type is Type.PHONE and value is not None:
        if vault is None:
            raise Invalid(f"“{field.title}”是加密保存的手机号，不能由剧本设置")
        if before is not None and vault.open(before["sealed"]) == value:
            return False
        claim: str | None = vault.lookup(f"field:{value}")
        value = {"sealed": vault.seal(value), "mask": values.mask_of(value)}
    elif value == before:
        return False
    else:
        claim = values.claim_of(field, value)
    if value is None:
        conn.execute(place.table.delete().where(_owned(field.entity, subject), place.table.c.key == field.key))
    else:
        text, number = values.compared(field, value)
        row = {"value": value, "text_value": text, "number_value": number, "source": by.source, "changed_at": by.now}
        _claim(conn, field, subject, row | {"claim": claim if field.is_unique else None})
    _note(conn, field, subject, before, value, by, person_id)
    return True


def _claim(conn: Connection, field: CustomField, subject: Subject, row: dict[str, Any]) -> None:
    place = _TABLES[field.entity]
    owner = dict(zip(place.owner, subject, strict=True))
    statement = (
        upsert(place.table, conn)
        .values(**owner, key=field.key, **row)
        .on_conflict_do_update(index_elements=[*place.owner, "key"], set_=row)
    )
    if not field.is_unique:
        conn.execute(statement)
        return
    try:
        with conn.begin_nested():
            conn.execute(statement)
    except IntegrityError:
        shown = "这个手机号" if field.type is Type.PHONE else f"“{values.write(field, row['value'])[:40]}”"
        raise Conflict(f"“{field.title}”不可重复，{shown}已属于{place.other}") from None


def _note(
    conn: Connection, field: CustomField, subject: Subject, before: Any, after: Any, by: Change, person_id: int | None
) -> None:
    conn.execute(
        insert(field_change).values(
            entity=field.entity,
            subject="/".join(str(part) for part in subject)[:140],
            key=field.key,
            before=None if before is None else values.write(field, before),
            after=None if after is None else values.write(field, after),
            source=by.source[:80],
            actor=by.actor[:80],
            changed_at=by.now,
            person_id=person_id,
        )
    )


def list_changes(conn: Connection, entity: str, subject: Subject, limit: int = 30) -> list[Row[Any]]:
    """The newest first, with the field's title and the member's name; a person's follow a merge."""
    mine = (
        field_change.c.person_id == subject[0]
        if entity == Entity.PERSON
        else field_change.c.subject == "/".join(str(part) for part in subject)[:140]
    )
    return list(
        conn.execute(
            select(field_change, custom_field.c.title, custom_field.c.type, member.c.name.label("member_name"))
            .outerjoin(
                custom_field,
                and_(custom_field.c.entity == field_change.c.entity, custom_field.c.key == field_change.c.key),
            )
            .outerjoin(member, member.c.userid == field_change.c.actor)
            .where(field_change.c.entity == entity, mine)
            .order_by(field_change.c.id.desc())
            .limit(limit)
        )
    )


def values_of(conn: Connection, entity: str, subject: Subject, now: datetime) -> list[Shown]:
    """Every field that is not archived with what this owner has in it, formulas reckoned."""
    return next(iter(values_of_many(conn, entity, [subject], now).values()))


def values_of_many(
    conn: Connection,
    entity: str,
    subjects: Collection[Subject],
    now: datetime,
    keys: Collection[str] | None = None,
) -> dict[Subject, list[Shown]]:
    """`values_of` for many owners (<= 1,000) in three statements and one for each formula."""
    fields = [field for field in list_fields(conn, entity) if keys is None or field.key in keys]
    place = _TABLES[Entity(entity)]
    named = [place.table.c[name] for name in place.owner]
    query = select(*named, place.table.c.key, place.table.c.value, place.table.c.changed_at).where(
        named[0].in_({subject[0] for subject in subjects}), place.table.c.value.is_not(None)
    )
    rows: Iterable[Any] = conn.execute(query) if fields else ()
    kept: dict[tuple[Subject, str], Row[Any]] = {(tuple(row[: len(named)]), row.key): row for row in rows}
    names = _member_names(conn, fields, kept.values())
    reckoned = {
        field.key: formulas.reckon(conn, field, subjects, now) for field in fields if field.type is Type.FORMULA
    }
    return {
        subject: [
            _shown(field, kept.get((subject, field.key)), names, reckoned.get(field.key), subject) for field in fields
        ]
        for subject in map(tuple, subjects)
    }


def _member_names(conn: Connection, fields: list[CustomField], rows: Iterable[Row[Any]]) -> dict[str, str]:
    keys = {field.key for field in fields if field.type is Type.MEMBER}
    wanted = {row.value for row in rows if row.key in keys}
    if not wanted:
        return {}
    found = conn.execute(select(member.c.userid, member.c.name).where(member.c.userid.in_(wanted)))
    return {row.userid: row.name for row in found if row.name}


def _shown(
    field: CustomField,
    row: Row[Any] | None,
    names: Mapping[str, str],
    reckoned: Mapping[Subject, float | None] | None,
    subject: Subject,
) -> Shown:
    if reckoned is not None:
        number = reckoned.get(subject)
        return Shown(field, number, "" if number is None else formulas.shown(number), "")
    if row is None:
        return Shown(field, None, "", field.default_text)
    text = values.write(field, row.value)
    shown = f"¥{text}" if field.type is Type.MONEY else names.get(text, text)
    return Shown(field, row.value, shown, "" if field.type is Type.PHONE else text, row.changed_at)


def texts_of(
    conn: Connection, person_ids: Collection[int], keys: Collection[str], now: datetime
) -> dict[int, dict[str, str]]:
    """What `{{ field.key }}` says of persons: the value for readers, else the default; phones are never said.

    Values that playbooks set without a definition are said as they are.
    """
    found: dict[int, dict[str, str]] = {person_id: {} for person_id in person_ids}
    loose = select(person_field.c.person_id, person_field.c.key, person_field.c.value).where(
        person_field.c.person_id.in_(found), person_field.c.key.in_(keys)
    )
    for row in conn.execute(loose):
        if row.value is not None and not isinstance(row.value, dict):
            found[row.person_id][row.key] = values.plain(row.value)
    for field in list_fields(conn, Entity.PERSON, with_archived=True):
        if field.key in keys and (field.archived_at or field.type is Type.PHONE):
            for texts in found.values():
                texts.pop(field.key, None)
    subjects = [(person_id,) for person_id in found]
    for (person_id, *_), shown in values_of_many(conn, Entity.PERSON, subjects, now, keys).items():
        for each in shown:
            if each.field.type is not Type.PHONE and (text := each.text or each.field.default_text):
                found[person_id][each.field.key] = text
    return found


def list_members(conn: Connection, limit: int = 500) -> list[Row[Any]]:
    """Whom a field of members may name, by name."""
    query = select(member.c.userid, member.c.name).where(member.c.is_active.is_(True)).order_by(member.c.name)
    return list(conn.execute(query.limit(limit)))


def person_of_relation(conn: Connection, userid: str, external_userid: str) -> int | None:
    """Whose relation it is; None when there is none."""
    mine = and_(follow_user.c.userid == userid, follow_user.c.external_userid == external_userid)
    return conn.execute(select(follow_user.c.person_id).where(mine)).scalar_one_or_none()
