"""The rules of template cards (doc 90236, table of message/send)."""

import re

from ..call import read_text
from ..errors import Refusal
from ..world import Json

INTERACTIVE = ("button_interaction", "vote_interaction", "multiple_interaction")
TASK_ID = re.compile(r"[A-Za-z0-9_\-@]{1,128}")


def check_card(card: Json) -> None:
    """Refuse a card that WeCom would refuse; lengths of shown texts are only advice and pass."""
    kind = card.get("card_type")
    if kind not in ("text_notice", "news_notice", *INTERACTIVE):
        raise Refusal(42031)
    needs_task_id = "task_id" in card or kind in INTERACTIVE or "action_menu" in card
    if needs_task_id and not TASK_ID.fullmatch(read_text(card, "task_id", missing=42014)):
        raise Refusal(42014)
    _check_title(card, str(kind))
    _check_lines(card)
    _check_jumps(card)
    _check_action(card, str(kind))
    _check_controls(card, str(kind))


def _items(card: Json, name: str, most: int, errcode: int, fewest: int = 0) -> list[Json]:
    items = card.get(name, [])
    if not isinstance(items, list) or not fewest <= len(items) <= most or not all(isinstance(i, dict) for i in items):
        raise Refusal(errcode)
    return items


def _check_title(card: Json, kind: str) -> None:
    main = card.get("main_title") or {}
    title = read_text(main, "title") if isinstance(main, dict) else ""
    if kind == "text_notice":
        if not title and not read_text(card, "sub_title_text"):
            raise Refusal(42033)
    elif not title:
        raise Refusal(42033)
    if kind == "news_notice":
        image = card.get("card_image") or card.get("image_text_area") or {}
        if not isinstance(image, dict) or not (image.get("url") or image.get("image_url")):
            raise Refusal(42044)


def _check_lines(card: Json) -> None:
    for line in _items(card, "horizontal_content_list", 6, 42036):
        read_text(line, "keyname", missing=42027)
        if line.get("type") == 1:
            read_text(line, "url", missing=42028)
        if line.get("type") == 3:
            read_text(line, "userid", missing=42050)


def _check_jumps(card: Json) -> None:
    for jump in _items(card, "jump_list", 3, 42037):
        read_text(jump, "title", missing=42033)
        if jump.get("type") == 1:
            read_text(jump, "url", missing=42028)


def _check_action(card: Json, kind: str) -> None:
    action = card.get("card_action")
    if action is None and kind not in ("text_notice", "news_notice"):
        return
    allowed = (1, 2) if kind in ("text_notice", "news_notice") else (0, 1, 2)
    if not isinstance(action, dict) or action.get("type") not in allowed:
        raise Refusal(42045)
    if action["type"] == 1:
        read_text(action, "url", missing=42028)


def _check_controls(card: Json, kind: str) -> None:
    if kind == "button_interaction":
        buttons = _items(card, "button_list", 6, 42035, fewest=1)
        for button in buttons:
            read_text(button, "text", missing=42038)
            name, missing = ("url", 42028) if button.get("type") == 1 else ("key", 42039)
            read_text(button, name, missing=missing)
        keys = [button["key"] for button in buttons if button.get("type") != 1]
        if len(keys) != len(set(keys)):
            raise Refusal(42051)
    if kind in ("vote_interaction", "multiple_interaction"):
        submit = card.get("submit_button")
        if not isinstance(submit, dict) or not submit.get("text") or not submit.get("key"):
            raise Refusal(42046)
    selectors = [card[name] for name in ("button_selection", "checkbox") if isinstance(card.get(name), dict)]
    selectors += _items(card, "select_list", 3, 42035, fewest=1) if kind == "multiple_interaction" else []
    for selector in selectors:
        _check_selector(selector)


def _check_selector(selector: Json) -> None:
    read_text(selector, "question_key", missing=42043)
    for option in _items(selector, "option_list", 20, 42047, fewest=1):
        read_text(option, "id", missing=42040)
        read_text(option, "text", missing=42041)
