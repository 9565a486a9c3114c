"""`scrm segment`: list, count, compute and explain segments from a terminal."""

import argparse
from typing import Any

import yaml
from sqlalchemy import Connection

from scrm.db.serving import is_served
from scrm.errors import Invalid, NotFound
from scrm.profiles.redirects import follow
from scrm.profiles.store import find_contact
from scrm.segments import audience, refresh, store
from scrm.segments.conditions import check_condition, explain, find_missing, holds
from scrm.segments.templates import TEMPLATES, find_template
from scrm.services import Services


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Each command sets `run(arguments, services)`."""
    segment = commands.add_parser("segment", help="segments (人群包): list, count, compute, explain")
    acts = segment.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("list", help="the segments, their members and when they were computed").set_defaults(run=run_list)
    acts.add_parser("templates", help="the segments that are shipped").set_defaults(run=run_templates)
    make = acts.add_parser("make", help="make a segment from a shipped one")
    make.add_argument("template", help="its key, see `scrm segment templates`")
    make.set_defaults(run=run_make)
    count = acts.add_parser("count", help="how many persons fit now")
    which = count.add_mutually_exclusive_group(required=True)
    which.add_argument("key", nargs="?", help="a segment's key")
    which.add_argument("--if", dest="condition", metavar="YAML", help="a condition, as playbooks write it")
    count.set_defaults(run=run_count)
    again = acts.add_parser("refresh", help="compute the members now")
    again.add_argument("key", help="a segment's key")
    again.set_defaults(run=run_refresh)
    why = acts.add_parser("explain", help="why somebody is in a segment, or is not")
    why.add_argument("key", help="a segment's key")
    why.add_argument("customer", help="the person's id, or its external_userid")
    why.set_defaults(run=run_explain)


async def run_list(arguments: argparse.Namespace, services: Services) -> int:
    rows = await services.db.read(store.list_segments)
    for row in rows:
        computed = f"{row.computed_at:%Y-%m-%d %H:%M} UTC" if row.computed_at else "还没算过"
        kind = "动态" if row.kind == "dynamic" else "静态"
        trouble = f"  {row.problem}" if row.problem else ""
        print(f"{row.key}  {row.title}  {kind}  {row.members} 人  {computed}{trouble}")
    if not rows:
        print("还没有人群包；`scrm segment templates` 列出模板，`scrm segment make 模板` 建一个")
    return 0


async def run_templates(arguments: argparse.Namespace, services: Services) -> int:
    for template in TEMPLATES:
        needs = f"（{template.needs}）" if template.needs else ""
        print(f"{template.key}  {template.title}：{template.words}{needs}")
    return 0


async def run_make(arguments: argparse.Namespace, services: Services) -> int:
    template = find_template(arguments.template)
    if template is None:
        raise NotFound(f"没有模板“{arguments.template}”，`scrm segment templates` 列出所有模板")
    draft = store.Draft(template.key, template.title, template.condition, template.is_exclusion, template.key)
    await services.db.write(store.save_segment, draft, now=services.clock.now(), by="cli")
    print(f"已建好人群包 {template.key}（{template.title}），几秒后开始计算")
    return 0


async def run_count(arguments: argparse.Namespace, services: Services) -> int:
    def count(conn: Connection) -> int:
        now = services.clock.now()
        if arguments.condition:
            tree = _read(arguments.condition)
            if problems := check_condition(tree) or find_missing(conn, tree):
                raise Invalid("；".join(problem.text for problem in problems))
            return audience.count(conn, tree, now)
        row = store.get_segment(conn, arguments.key)
        return int(row.members) if row.kind == "static" else audience.count(conn, row.condition, now)

    print(f"{await services.db.read(count)} 人")
    return 0


def _read(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"条件不是正确的 YAML：{' '.join(str(error).split())[:200]}") from None


async def run_refresh(arguments: argparse.Namespace, services: Services) -> int:
    row = await services.db.read(store.get_segment, arguments.key)
    if row.kind == "dynamic" and is_served(services.settings.database.url.get_secret_value()):
        await services.db.write(store.put_off, [row.key], services.clock.now())
        print(f"人群包“{row.title}”：正在运行的服务会在几秒内开始计算")
        return 0
    counts = await refresh.refresh(services, row.key)
    row = await services.db.read(store.get_segment, row.key)
    print(f"人群包“{row.title}”：进入 {counts.entered} 人，离开 {counts.left} 人，现有 {row.members} 人")
    if row.problem:
        print(f"没有计算：{row.problem}")
    return 1 if row.problem else 0


async def run_explain(arguments: argparse.Namespace, services: Services) -> int:
    """Prints each leaf with what it was compared with."""

    def look(conn: Connection) -> list[str]:
        row, now = store.get_segment(conn, arguments.key), services.clock.now()
        person_id = _person(conn, arguments.customer)
        tree = row.condition if row.kind == "dynamic" else {"segment": row.key}
        is_in = holds(conn, tree, person_id, now)
        lines = [f"客户 {person_id}{'在' if is_in else '不在'}人群包“{row.title}”里"]
        for leaf in explain(conn, tree, person_id, now):
            found = f"（现为 {leaf.found}）" if leaf.found else ""
            lines.append(f"  {'符合' if leaf.holds else '不符合'}：{leaf.words}{found}")
        return lines

    print("\n".join(await services.db.read(look)))
    return 0


def _person(conn: Connection, customer: str) -> int:
    contact = find_contact(conn, customer)
    if contact is not None:
        return int(contact.person_id)
    if not customer.isdigit():
        raise NotFound(f"没有客户“{customer}”，请写客户编号或 external_userid")
    return follow(conn, int(customer))
