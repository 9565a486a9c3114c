"""Which welcome fits an add, and in whose words; pure."""

from collections.abc import Iterable
from dataclasses import replace

from scrm.events import Event
from scrm.sop.schema import Channel, Content, Playbook, Step, When
from scrm.sop.triggers import starts
from scrm.sop.welcome.intents import Chosen


def choose(playbooks: Iterable[Playbook], event: Event) -> list[Chosen]:
    """Every welcome whose trigger fits the add, the most particular first; pure."""
    fitting = [
        Chosen(playbook, step)
        for playbook in playbooks
        if starts(playbook.trigger, event)
        for step in playbook.steps
        if step.channel is Channel.WELCOME and step.content is not None
    ]
    return sorted(fitting, key=_rank)


def _rank(chosen: Chosen) -> tuple[int, str, str]:
    assert chosen.playbook is not None  # noqa: S101 - only playbooks are ranked
    return (-len(chosen.playbook.trigger.where), chosen.playbook.priority, chosen.playbook.key)


def say_as_channel(chosen: Chosen | None, text: str) -> Chosen | None:
    """The channel's own words go before the playbook's; its coupon and links come with them all the same. Pure."""
    if not text:
        return chosen
    if chosen is None or chosen.step.content is None:
        return Chosen(None, Step("channel", When(), Channel.WELCOME, content=Content(text)))
    return replace(chosen, step=replace(chosen.step, content=replace(chosen.step.content, text=text)))
