"""What somebody said in a form, read with the words that tell him what is wrong."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scrm.errors import Invalid

_WHOLE = re.compile(r"\d{1,9}")
UNITS = {"m": "分钟", "h": "小时", "d": "天"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+)([smhd])")


class _Drop:
    """What is to be taken out."""


DROP = _Drop()


@dataclass(frozen=True, slots=True)
class Said:
    """Values by the name of their control; absent is the same as empty."""

    values: Mapping[str, Sequence[str]]

    def one(self, name: str) -> str:
        found = self.values.get(name, ())
        return found[-1].strip() if found else ""

    def all(self, name: str) -> list[str]:
        return [each.strip() for each in self.values.get(name, ()) if each.strip()]

    def listed(self, name: str) -> list[str]:
        """Words that are separated by commas, of any kind."""
        return [part.strip() for each in self.all(name) for part in re.split("[,，、;；\n]", each) if part.strip()]

    def text(self, name: str) -> str:
        """Several lines, without spaces at their ends."""
        found = self.values.get(name, ("",))[-1].replace("\r\n", "\n")
        return "\n".join(line.rstrip() for line in found.replace("\t", " ").split("\n")).strip("\n")

    def number(self, name: str, *, least: int, most: int, title: str = "") -> int | None:
        """A whole number, None for nothing; raises Invalid."""
        written = self.one(name)
        if not written:
            return None
        if not _WHOLE.fullmatch(written) or not least <= int(written) <= most:
            raise Invalid(f"{title or name}要写 {least} 到 {most} 的整数，写的是“{written[:20]}”")
        return int(written)

    def duration(self, name: str, title: str) -> str:
        """`24h` from a number and its unit (`name` and `name_unit`); empty for nothing."""
        number = self.number(name, least=1, most=3650, title=title)
        unit = self.one(f"{name}_unit")
        return f"{number}{unit if unit in UNITS else 'h'}" if number is not None else ""


def split_duration(written: object) -> tuple[str, str]:
    """`24h` as ("24", "h"), `1h30m` as ("90", "m"); of what is no duration the hours are empty."""
    parts = _SPAN.findall(str(written or ""))
    if not parts or "".join(number + unit for number, unit in parts) != str(written):
        return "", "h"
    if len(parts) == 1 and parts[0][1] in UNITS:
        return parts[0][0], parts[0][1]
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    unit = next(unit for unit in ("d", "h", "m") if seconds % _SECONDS[unit] == 0 or unit == "m")
    return str(max(1, seconds // _SECONDS[unit])), unit
