"""Playbooks and plans that come with the program: a checkout has them in config/, a wheel beside its modules."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
PACKED = _HERE / "shipped"


def shipped(name: str) -> Path:
    """The folder `playbooks` or `plans`; the working directory's own config/ goes first."""
    own = Path("config") / name
    places = (own, PACKED / name, _HERE.parent / "config" / name)
    return next((place for place in places if place.is_dir()), own)
