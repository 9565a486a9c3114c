"""What the board's pages are made of: the draft read as a board, its problems, figures, and what may be chosen."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm.access.scope import may_reach
from scrm.commerce.coupons.figures import list_batches
from scrm.console import store
from scrm.console.conditions import forms as condition_forms
from scrm.console.playbooks import board_words as say
from scrm.console.playbooks import in_words as reading
from scrm.console.words import STEP_CHANNELS
from scrm.content.attachments import MEDIA_KINDS
from scrm.content.media.store import list_originals
from scrm.content.variables import FALLBACKS, VARIABLES
from scrm.errors import NotFound
from scrm.profiles.own_fields.fields import list_fields
from scrm.profiles.own_fields.values import Type
from scrm.profiles.tags import list_library
from scrm.segments.store import list_segments
from scrm.services import Services
from scrm.sessions import SignedIn
from scrm.sop import placing, timing
from scrm.sop.actions import ACTIONS
from scrm.sop.board import asking, starting
from scrm.sop.board.model import Board, Card, read_board, read_path, write_path
from scrm.sop.board.preview import Bubble, Whom, preview
from scrm.sop.board.said import UNITS, split_duration
from scrm.sop.life import draft_locks, drafts, library
from scrm.sop.life import published as publishing
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.drafts import Checked
from scrm.sop.reasons.waiting import find_living
from scrm.sop.results import figures as results
from scrm.sop.schema import Channel, Playbook
from scrm.sop.shelf import house_of, playbooks_of, shop_of, terms_of
from scrm.sop.text import diff
from scrm.sop.text.source import SourceError
from scrm.sop.text.start_fields import TYPES
from scrm.tracking import said_links

# What the panel shows that is no part of the story, by the word in the address.
HEADS = {
    "trigger": "触发与进入",
    "rules": "退出与目标",
    "guards": "打扰限制",
    "coupons": "优惠券",
    "about": "名称与说明",
    "tests": "测试",
}
_SPAN = timedelta(days=29)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose board, who reads it, what he has before him, and the customer he previews for."""

    key: str
    member: SignedIn
    shown: str = "trigger"
    person_id: int = 0


def digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def find_text(conn: Connection, key: str) -> tuple[str, Row[Any] | None, Row[Any] | None]:
    """The draft, or what is published; with both rows. Raises NotFound."""
    draft, current = lifecycle_store.find_draft(conn, key), publishing.find_current(conn, key)
    row = draft if draft is not None else current
    if row is None:
        raise NotFound(f"没有编号为 {key} 的剧本或草稿")
    return str(row.source), draft, current


def load(conn: Connection, services: Services, asked: Asked) -> dict[str, Any]:
    """Everything a page or its fragments show."""
    text, draft, current = find_text(conn, asked.key)
    checked = drafts.check(conn, text, asked.key, terms_of(services))
    published = publishing.read_kept(conn, current.source, asked.key, current.contents) if current is not None else None
    values: dict[str, Any] = {
        "key": asked.key,
        "text": text,
        "digest": digest_of(text),
        "draft": draft,
        "current": current,
        "checked": checked,
        "board": None,
        "title": asked.key,
        "living": 0,
        "kinds": starting.KINDS,
        "changes": 0,
        "broken": "",
        "lock": draft_locks.tell(conn, asked.key, asked.member.userid, services.clock.now()),
    }
    if current is not None and draft is not None and checked.playbook is not None:
        values["changes"] = len(diff.list_changes(published, checked.playbook))
    try:
        board = read_board(text, checked.problems)
    except SourceError as error:
        return values | {"broken": str(error)}
    return values | _told(conn, services, asked, board, checked, published)


def _told(
    conn: Connection, services: Services, asked: Asked, board: Board, checked: Checked, published: Playbook | None
) -> dict[str, Any]:
    figures, waiting, living = _figures(conn, services, published)
    words = say.Words(board, figures, waiting, say.stand_in(board, published), dict(_own_fields(conn)))
    at = read_path(asked.shown) if asked.shown not in HEADS else ()
    card = board.find(at) if at else None
    shown = asked.shown if card is not None or asked.shown in HEADS else "trigger"
    return {
        "board": board,
        "title": str(board.data.get("title") or asked.key),
        "words_of": words,
        "say": say,
        "reading": reading,
        "shown": shown,
        "card": card,
        "heads": HEADS,
        "living": living,
        "path": write_path,
        "split_duration": split_duration,
        "units": UNITS,
        "start_types": TYPES,
        "start_asks": asking.titles(board.data),
        "person": _whom(conn, asked),
        "may_see_customers": asked.member.may("customers"),
        "channels": STEP_CHANNELS,
        "show_condition": condition_forms.shown,
        "first_day": _next_monday(services),
        **_choices(conn, services),
        **_previewed(conn, services, asked, board, card, checked),
    }


def _next_monday(services: Services) -> str:
    """Where a new test begins: on a day that has nothing special."""
    today = services.clock.now().astimezone(services.settings.shop.zone).date()
    return (today + timedelta(days=7 - today.weekday())).isoformat()


def _figures(
    conn: Connection, services: Services, published: Playbook | None
) -> tuple[Mapping[str, Any], Mapping[str, int], int]:
    """Of the published version: what became of each step in 30 days, who stands before it, how many are under way."""
    if published is None:
        return {}, {}, 0
    now, zone = services.clock.now(), services.settings.shop.zone
    until = now.astimezone(zone).date()
    found = results.load(conn, published, since=until - _SPAN, until=until, zone=zone, now=now)
    living = find_living(conn, published, playbooks_of(services))
    waiting = {place.step_id: place.count for place in living.places if place.step_id}
    return {step.step_id: step.figures for step in found.steps}, waiting, living.states["active"]


def _choices(conn: Connection, services: Services) -> dict[str, Any]:
    """What the controls of the panel offer."""
    return {
        "trigger_groups": say.trigger_groups(),
        "event_groups": say.event_groups(),
        "segments": [(row.key, row.title) for row in list_segments(conn)],
        "tags": [row.tag_name for row in list_library(conn)],
        "scripts": {name: said.text for name, said in library.load(conn, services.clock.now()).items()},
        "own_fields": _own_fields(conn),
        "batches": [(row.key, row.title) for row in list_batches(conn)],
        "files": [(row.kind, row.filename) for row in list_originals(conn)],
        "file_kinds": MEDIA_KINDS,
        "others": [(each.key, each.title) for each in playbooks_of(services).current.values()],
        "actions": {action.name: action.title for action in ACTIONS},
        "variables": {
            **{key: names[0] for key, names in VARIABLES.items()},
            **{key: f"雷达链接：{title}" for title, key in said_links.list_variables(conn)},
        },
        "fallbacks": FALLBACKS,
    }


def _own_fields(conn: Connection) -> list[tuple[str, str]]:
    """What a member can fill in of a customer."""
    return [(field.key, field.title) for field in list_fields(conn, "person") if field.type is not Type.FORMULA]


# The preview ----------------------------------------------------------------------------------------------------------


def _whom(conn: Connection, asked: Asked) -> Whom | None:
    """The chosen customer with the member who would speak; only one whom the reader may see."""
    if not asked.person_id or not asked.member.may("customers"):
        return None
    if not may_reach(conn, asked.member.scope, asked.person_id):
        return None
    found = store.list_these(conn, [asked.person_id])
    if not found:
        return None
    customer = found[0]
    follow = next((each for each in customer.follows if not each.ended_by), None)
    if follow is None:
        return Whom(asked.person_id, name=customer.name)
    member = str(follow.member_name or follow.userid)
    return Whom(asked.person_id, follow.userid, follow.external_userid, customer.name, member)


def _previewed(
    conn: Connection, services: Services, asked: Asked, board: Board, card: Card | None, checked: Checked
) -> dict[str, Any]:
    """Each thing the chosen step may say, and when it would come to somebody who enters now."""
    if card is None or card.kind != "step" or card.channel in ("X", "K"):
        return {"bubbles": [], "comes_at": None}
    whom, shop, now = _whom(conn, asked), shop_of(services), services.clock.now()
    bubbles: list[tuple[str, Bubble]] = []
    for name, said in _all_said(conn, card):
        bubbles.append((name, preview(conn, board.data, said, whom, shop, now)))
    return {"bubbles": bubbles, "comes_at": _comes_at(services, board, card, checked.playbook, now)}


def _all_said(conn: Connection, card: Card) -> list[tuple[str, Any]]:
    content = card.data.get("content")
    if isinstance(content, str) and (script := library.load(conn).get(content)) is not None:
        content = {"text": script.text, "attachments": list(script.attachments)}
    coupon = [{"coupon": card.data["coupon"]}] if isinstance(card.data.get("coupon"), str) else []
    if not isinstance(content, Mapping):
        return [("", {"attachments": coupon})] if coupon else []
    if variants := say.variants_of(content):
        return [(str(each.get("name", "")), each) for each in variants if isinstance(each, Mapping)]
    return [("", {**content, "attachments": [*say.attachments_of(content), *coupon]})]


def _comes_at(
    services: Services, board: Board, card: Card, playbook: Playbook | None, now: datetime
) -> datetime | None:
    """None behind a wait, whose end nobody knows, and for what is not finished."""
    if card.when is None or _is_behind_wait(board, card):
        return None
    step = playbook.step(card.id) if playbook is not None else None
    if playbook is None or step is None:
        return timing.due_at(card.when, now, services.settings.shop.zone, spread_key="")
    if step.channel is Channel.WELCOME:
        return now
    return placing.planned_at(playbook, step, now, house_of(services), "")


def _is_behind_wait(board: Board, card: Card) -> bool:
    """Whether some wait stands before it, in its own series or before a fork that it is in."""
    for depth in range(2, len(card.at) + 1):
        series = board.series_of(card.at[: depth - 1])
        if series is None:
            continue
        before = [each for each in series.cards if int(each.at[-1]) < int(card.at[depth - 1])]
        if any(each.kind == "wait" for each in before):
            return True
        own = board.find(card.at[:depth])
        if own is not None and own.kind == "wait" and own is not card:
            return True
    return False
