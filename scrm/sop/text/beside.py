"""What a sound text needs of this shop before it can run: tags, segments, fields, files, members, playbooks, endpoints."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from scrm.commerce.models import coupon_batch
from scrm.content import programs
from scrm.content.attachments import MEDIA_KINDS, media_name
from scrm.content.media import store as media
from scrm.errors import ScrmError
from scrm.profiles.models import corp_tag, member, person_field
from scrm.profiles.own_fields.fields import find_field, list_fields
from scrm.profiles.own_fields.values import CustomField, Type
from scrm.profiles.own_fields.values import read as read_value
from scrm.segments.conditions import Problem as ConditionProblem
from scrm.segments.conditions import find_missing
from scrm.sop.actions.store import find_members
from scrm.sop.channels.notice import recipients
from scrm.sop.models import playbook as playbook_table
from scrm.sop.schema import Condition, Playbook, Step
from scrm.sop.text import checks, forms
from scrm.sop.text.reading import PlaybookErrors, Problem

_FIELD = "field."
_DATES = (Type.DATE, Type.TEXT)
_NOT_USERIDS = ("owner", "manager")


class Needs(NamedTuple):
    """`others` run beside the text; `endpoints` are the names of [outward.*] in the settings, None when unknown."""

    others: Iterable[Playbook] = ()
    endpoints: Collection[str] | None = None


ALONE = Needs()


def problems(conn: Connection, playbook: Playbook, needs: Needs = ALONE, *, name: str = "") -> list[str]:
    """A line for each thing that is not there; `name` is what the lines call the text, its key unless it is a file."""
    name = name or playbook.key
    found = [
        *_find_tags(conn, playbook, needs),
        *_find_coupons(conn, playbook),
        *_find_names(conn, playbook),
        *_find_date(conn, playbook),
        *_find_values(conn, playbook),
        *_find_asked(conn, playbook),
        *_find_members(conn, playbook),
        *_find_playbooks(conn, playbook, needs),
        *_find_endpoints(playbook, needs),
    ]
    lines = PlaybookErrors(name, [Problem(line or 1, text) for line, text in found]).lines if found else []
    return [*lines, *(f"{name}：{text}" for text in _find_files(conn, playbook))]


def _find_tags(conn: Connection, playbook: Playbook, needs: Needs) -> checks.Found:
    """Conditions about tags that neither WeCom nor any playbook has."""
    tags = _known_tags(conn)
    if tags is not None:
        made = {tag for other in (playbook, *needs.others) for tag in _tags_made(other)}
        yield from checks.check_tags(playbook, tags | made)


def _find_coupons(conn: Connection, playbook: Playbook) -> checks.Found:
    own = {spec.key for spec in playbook.coupons}
    named = checks.coupons_named(playbook) - own
    if named:
        there = conn.execute(select(coupon_batch.c.key).where(coupon_batch.c.key.in_(named))).scalars()
        yield from checks.check_coupons(playbook, {*own, *there})


def _known_tags(conn: Connection) -> set[str] | None:
    """Names and ids of the corp's tags; None before they were fetched for the first time."""
    if not conn.execute(select(func.count()).select_from(corp_tag)).scalar_one():
        return None
    rows = conn.execute(select(corp_tag.c.tag_id, corp_tag.c.tag_name).where(corp_tag.c.is_deleted.is_(False)))
    return {text for row in rows for text in row}


def _tags_made(playbook: Playbook) -> Iterator[str]:
    for step in playbook.steps:
        for act in step.act:
            added = act.get("add_tag", [])
            yield from added if isinstance(added, list) else [str(added)]


def _find_names(conn: Connection, playbook: Playbook) -> checks.Found:
    """Segments that do not exist or are empty below a `not`, and fields that are archived: in conditions, in the trigger."""

    def find(tree: Condition) -> Iterable[ConditionProblem]:
        return find_missing(conn, tree, kinds=("segment", "field"))

    yield from checks.check_names(playbook, find)
    yield from checks.check_trigger(playbook, find)


def _find_date(conn: Connection, playbook: Playbook) -> checks.Found:
    """A date that no customer can have: nobody would ever enter."""
    key = playbook.trigger.date.removeprefix(_FIELD)
    if key == playbook.trigger.date:
        return
    field, line = find_field(conn, "person", key), playbook.lines.get("trigger", 0)
    if field is not None and field.type not in _DATES:
        yield line, f"trigger：字段“{field.title}”不是日期，谁也不会进入；请换成日期字段，或写成日期的文本字段"
    elif field is None and not _is_filled(conn, key):
        yield (
            line,
            f"trigger：没有字段“{key}”，也没有客户填过它，谁也不会进入；请先在「设置 → 自定义字段」建好这个日期字段",
        )


def _is_filled(conn: Connection, key: str) -> bool:
    return conn.execute(select(person_field.c.person_id).where(person_field.c.key == key).limit(1)).first() is not None


def _find_values(conn: Connection, playbook: Playbook) -> checks.Found:
    """Values that a step sets and a field does not take; fields that nobody has defined take everything."""
    for step in playbook.steps:
        for key, value in [pair for act in step.act for pair in act.get("set", {}).items()]:
            field = find_field(conn, "person", key.removeprefix(_FIELD), with_archived=True)
            if field is None or key in ("stage", "person.stage"):
                continue
            if why := _why_not(conn, field, value):
                yield step.line, f"步骤“{step.id}”要写的字段“{field.title}”：{why}"


def _find_asked(conn: Connection, playbook: Playbook) -> checks.Found:
    """Fields that a step asks for and nobody could fill in."""
    for step in playbook.steps:
        for key in forms.asked_in(step):
            field = find_field(conn, "person", key)
            if field is None:
                there = "、".join(f"{each.key}（{each.title}）" for each in list_fields(conn, "person")) or "还没有"
                yield (
                    step.line,
                    f"步骤“{step.id}”要填的字段“{key}”没有建，请先在「客户 → 自定义字段」建好；现有：{there}",
                )
            elif field.type is Type.FORMULA:
                yield step.line, f"步骤“{step.id}”要填的字段“{field.title}”是公式，由系统算出来，不用问"


def _why_not(conn: Connection, field: CustomField, value: Any) -> str:
    if find_field(conn, "person", field.key) is None:
        return "已归档，请恢复它，或换一个字段"
    if field.type is Type.FORMULA:
        return "是公式，由系统算出来，不能写"
    try:
        read_value(field, value)
    except (ValueError, ScrmError) as error:
        return str(error)
    return ""


def _find_members(conn: Connection, playbook: Playbook) -> checks.Found:
    """Whom a step assigns or notifies must be with us; before the members were fetched nobody knows."""
    if conn.execute(select(member.c.userid).limit(1)).first() is None:
        return
    for step in playbook.steps:
        named = _members_named(step)
        known = {userid.casefold() for userid in find_members(conn, named)}
        if lost := [userid for userid in named if userid.casefold() not in known]:
            yield step.line, f"步骤“{step.id}”写的员工 {'、'.join(lost)} 不在职或不在应用可见范围，请换成在职员工的账号"


def _members_named(step: Step) -> list[str]:
    """Members that are named one by one; roles are looked up when somebody is told."""
    assigned = [userid for act in step.act for userid in _as_list(act.get("assign", []))]
    told = [who for who in recipients(step.options.get("notify")) if who not in _NOT_USERIDS and ":" not in who]
    return list(dict.fromkeys([*assigned, *told]))


def _find_playbooks(conn: Connection, playbook: Playbook, needs: Needs) -> checks.Found:
    """Playbooks that a step starts and that nobody has published."""
    started = {
        key: step for step in playbook.steps for act in step.act for key in _as_list(act.get("start_playbook", []))
    }
    lost = started.keys() - {playbook.key, *(other.key for other in needs.others)}
    if lost:
        table = playbook_table.c
        there = select(table.key).where(table.key.in_(lost), table.state != "retired", table.version > 0)
        lost -= set(conn.execute(there).scalars())
    for key in sorted(lost):
        step = started[key]
        yield step.line, f"步骤“{step.id}”要开始的剧本 {key} 还没有发布，请先发布它，或去掉这个动作"


def _find_endpoints(playbook: Playbook, needs: Needs) -> checks.Found:
    for step in playbook.steps:
        to = step.options.get("to")
        if needs.endpoints is not None and isinstance(to, str) and to not in needs.endpoints:
            there = f"现有：{'、'.join(sorted(needs.endpoints))}" if needs.endpoints else "现在一个也没有"
            yield step.line, f"步骤“{step.id}”推送到 {to}，设置里没有 [outward.{to}]（{there}），请先在配置文件里加上"


def _as_list(value: Any) -> list[str]:
    return [str(each).strip() for each in (value if isinstance(value, list) else [value])]


def _find_files(conn: Connection, playbook: Playbook) -> Iterator[str]:
    names = media_names(playbook)
    found = media.find_by_name(conn, names) if names else {}
    for name, kind in names.items():
        if name not in found:
            yield f"素材库里没有“{name}”，请先在后台「素材库」上传，文件名要一样"
        elif found[name].kind != kind:
            is_kind = MEDIA_KINDS.get(found[name].kind, found[name].kind)
            yield f"“{name}”是{is_kind}，请写成 {found[name].kind}: {name}"


def media_names(playbook: Playbook) -> dict[str, str]:
    """File names of all steps, with the kind the author says they are."""
    parts = [part for step in playbook.steps for said in step.contents for part in said.attachments]
    covers = {programs.cover_of(part): "image" for part in parts if programs.cover_of(part)}
    return covers | {media_name(part): next(iter(part)) for part in parts if media_name(part)}
