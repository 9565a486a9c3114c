"""What WeCom tells as our types: fields that are absent or null have their default, numbers may come as text."""

from typing import Any, TypeVar

import msgspec

from scrm.wecom.errors import WeComUnreachable

T = TypeVar("T")


def read(told: Any, kind: type[T]) -> T:
    """Raises WeComUnreachable when it is not as documented all the same: the answer cannot be used."""
    try:
        return msgspec.convert(without_nulls(told), kind, strict=False)
    except msgspec.ValidationError as error:
        # Where it is wrong, never what stands there.
        raise WeComUnreachable(f"the answer is not as documented: {_place(error)}") from None


class Answer(dict[str, Any]):
    """What an endpoint told; what it must hold and does not makes it one that cannot be used."""

    def __init__(self, told: dict[str, Any], path: str) -> None:
        super().__init__(told)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise WeComUnreachable(f"the answer holds no {name}", path=self._path)


def without_nulls(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: without_nulls(value) for key, value in told.items() if value is not None}
    if isinstance(told, list):
        return [without_nulls(value) for value in told if value is not None]
    return told


def _place(error: msgspec.ValidationError) -> str:
    return str(error).rpartition(" - at ")[2][:80]
