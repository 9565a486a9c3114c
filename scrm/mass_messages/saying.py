"""What a mass message may say: the same to all of a member's customers, so only the shop and the member have names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from scrm.content import programs, render
from scrm.content.library import lint
from scrm.content.library import store as library
from scrm.errors import Invalid

SAME_FOR_ALL = {"shop": "店铺名", "staff": "员工姓名"}
_NAMELESS = "顾问"


def check_words(conn: Connection, text: str, attachments: Sequence[Mapping[str, Any]]) -> None:
    """Raises Invalid for variables that differ from customer to customer, and for what the shop does not allow."""
    said = [text, *card_words(attachments)]
    if problem := "；".join(problems_of(text)) or lint.blocking(said, library.read_words(conn)):
        raise Invalid(problem)


def card_words(attachments: Sequence[Mapping[str, Any]]) -> list[str]:
    """What customers read on cards: everything of a link, a mini-program's title. Pure."""
    links = [str(word) for each in attachments for word in (each.get("link") or {}).values()]
    return links + [str(each[programs.KIND].get("title") or "") for each in attachments if programs.KIND in each]


def problems_of(text: str) -> list[str]:
    """What keeps a text from being said to many at once, in words. Pure."""
    if "{" not in text:
        return []
    if found := render.check(text):
        return found
    personal = sorted(render.variables_of(text) - set(SAME_FOR_ALL))
    return [
        f"群发对同一位员工的所有客户说同样的话，不能用“{render.title_of(key)}”，只能用店铺名和员工姓名"
        for key in personal
    ]


def fill(text: str, shop: str, staff: str) -> str:
    """The words as this member says them. Pure."""
    return render.render(text, {"shop": shop, "staff": staff or _NAMELESS}) if "{" in text else text


def is_said(text: str, said: str, shop: str) -> bool:
    """Whether these words can have been made of the text, whatever the member was called then. Pure."""
    if "{" not in text:
        return said.strip() == text.strip()
    mark = "\x00"
    pattern = re.escape(fill(text, shop, mark)).replace(re.escape(mark), ".{1,64}")
    return re.fullmatch(pattern, said.strip(), re.DOTALL) is not None
