"""What guards and playbooks wrote down in Chinese is told in the reader's language when the sidebar shows it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import scrm.sop
from tests.sidebar.conftest import Member
from tests.sidebar.test_picture import tell
from tests.world import XIAOMAN, World
from web.texts import speaking
from web.texts.kept import retold

_HAN = re.compile(r"[\u3400-\u9fff]")
SOP = Path(scrm.sop.__file__).parent
# Modules whose words reach members as reasons; what is no reason there, or only the beginning of one.
MODULES = ("guards/answers", "guards/facts", "engine", "exits", "guards/recheck", "guards/arbitration")
NO_REASONS = {"欢迎语只在添加时发送", "被频控放弃：", "被频控放弃", "条件不满足：", "7，任务已撤回。"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Words do not depend on the database."""
    return sqlite_url


def sentences(module: str) -> Iterator[str]:
    """Every Chinese text of a module but its docstrings, with 7 wherever it speaks of something."""
    tree = ast.parse((SOP / f"{module}.py").read_text())
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inside.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


@pytest.mark.parametrize("module", MODULES)
def test_every_reason_of_the_guards_has_its_english(module: str) -> None:
    found = {text for text in sentences(module) if _HAN.search(text)} - NO_REASONS
    with speaking("en"):
        assert [text for text in sorted(found) if _HAN.search(retold(text))] == []
    assert len(found) > 1
    assert [retold(text) for text in found] == list(found), "as it was said, for who reads Chinese"


def test_what_a_sentence_speaks_of_is_told_too() -> None:
    why = "被频控放弃：3月2日 14:00 已有一条群发「春季上新」，48 小时内不再打扰，推迟后会超过有效期。"
    with speaking("en"):
        assert retold(why.rstrip("。")) == (
            "Given up by the frequency cap: a mass message “春季上新” already went out on 3/2 14:00, none for 48 hours after"
            " it; put off, it would be past its time"
        )
        assert retold("本流程已发 1 次，达到上限") == "This playbook has sent 1 message, its limit"
        assert retold("员工自己写的原因") == "员工自己写的原因"


async def test_an_english_member_reads_why_a_message_is_held_back(world: World, lina: Member) -> None:
    await world.add()
    await tell(world, "case.opened")
    html = await lina.page(f"/sidebar/contacts/{XIAOMAN}/told?lang=en", htmx=True)
    assert "暂停营销" not in html
    assert "complaint" in html
