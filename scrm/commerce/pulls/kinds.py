"""The kinds of sources that are asked for orders: the hand-written list, and those that the settings name."""

from scrm.commerce.connectors import generic_rest, jushuitan, wangdiantong
from scrm.commerce.connectors.pull import Pull
from scrm.commerce.hooks.kinds import read_options
from scrm.errors import WrongUse
from scrm.services import Services
from scrm.settings import Settings

PULLS: tuple[type[Pull], ...] = (
    jushuitan.Jushuitan,
    wangdiantong.Wangdiantong,
    generic_rest.GenericRest,
)


class Pulls(dict[str, Pull]):
    """Sources by their key; one object for the life of the process."""


def open_pulls(settings: Settings) -> Pulls:
    """Every source of these kinds in the settings; raises WrongUse with one line per wrong value."""
    by_kind = {pull.kind: pull for pull in PULLS}
    pulls, lines = Pulls(), []
    for key, source in settings.sources.items():
        pull = by_kind.get(source.kind)
        if pull is None:
            continue
        try:
            pulls[key] = pull(key, read_options(key, source, pull.options_type))
        except WrongUse as error:
            lines.append(str(error))
    if lines:
        raise WrongUse("\n".join(lines))
    return pulls


def pulls_of(services: Services) -> Pulls:
    """The process's sources."""
    pulls = services.memory.get(Pulls)
    if pulls is None:
        pulls = services.memory[Pulls] = open_pulls(services.settings)
    assert isinstance(pulls, Pulls)  # noqa: S101 - kept under its type
    return pulls
