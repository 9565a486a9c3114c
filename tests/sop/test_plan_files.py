"""The plans that come with the product: sound, and only what shall be published by itself lies above the templates."""

from pathlib import Path

import pytest

from scrm.sop.life.published import TEMPLATES, list_files
from scrm.sop.plans.parse import parse_plan
from scrm.sop.text.parse import parse_playbook

PLANS = Path(__file__).parents[2] / "config" / "plans"
PLAYBOOKS = PLANS.parent / "playbooks" / TEMPLATES
FILES = [*list_files(PLANS), *list_files(PLANS / TEMPLATES)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_plan_is_sound_and_says_what_it_is_for(path: Path) -> None:
    plan = parse_plan(path.read_text("utf-8"), path.name)
    assert plan.key == path.stem
    assert plan.description


def test_the_guide_tells_of_every_playbook_and_plan_that_waits_to_be_taken() -> None:
    guide = (PLANS.parents[1] / "docs" / "playbooks.md").read_text("utf-8")
    names = [path.stem for path in (*list_files(PLAYBOOKS), *FILES)]
    assert [name for name in names if f"`{name}`" not in guide] == []


def test_a_playbook_that_asks_for_something_says_what_comes_without_it() -> None:
    for path in list_files(PLAYBOOKS):
        description = parse_playbook(path.read_text("utf-8"), file_name=path.name).description
        assert "需要：" in description or "需要" in description, path.name
