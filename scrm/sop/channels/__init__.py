"""Who presses the button, and what happens then: one module and one line for each channel (docs/playbooks 1.1)."""

from collections.abc import Collection, Sequence
from typing import Protocol

from sqlalchemy import Connection

from scrm.sop.channels import group, mass, moment, notice, outward, suggestion, system, task, welcome
from scrm.sop.channels.ready import Outcome, Ready, Release
from scrm.sop.schema import Step


class ChannelActs(Protocol):
    """What a channel's module offers.

    `opening` is the state of a step that has just been released: "waiting" (for a person) or "intent" (for a call).
    """

    letter: str
    title: str
    opening: str

    @property
    def keys(self) -> frozenset[str]:
        """Keys of a step that only this channel reads; their plain values are `step.options`."""
        ...

    def problems(self, step: Step, keys: Collection[str]) -> list[str]:
        """What is wrong with the author's step, in his words; `keys` are those he wrote."""
        ...

    def release(self, conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
        """Do what the steps of a batch ask for, each of which is claimed; returns what is over already.

        In the tick's transaction, a few statements for all: calls to WeCom become durable work.
        """
        ...


CHANNELS: tuple[ChannelActs, ...] = (
    welcome,
    task,
    mass,
    group,
    moment,
    suggestion,
    notice,
    outward,
    system,
)

_BY_LETTER = {channel.letter: channel for channel in CHANNELS}


def channel_of(letter: str) -> ChannelActs:
    """The acts of that channel; those of a staff task when there is no such letter, which the parser has noted."""
    return _BY_LETTER.get(letter, task)


__all__ = ["CHANNELS", "ChannelActs", "Outcome", "Ready", "Release", "channel_of"]
