"""What can be done on the board: each act takes a text and what was said, and gives the text as it is then. Pure."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from scrm.errors import Invalid
from scrm.sop.board import editing, fields, starting
from scrm.sop.board.fields import Edit
from scrm.sop.board.model import Board, Card, Day, Series, read_board, read_path
from scrm.sop.board.said import DROP, Said
from scrm.sop.board.spots import Path, value_at
from scrm.sop.channels import channel_of
from scrm.sop.text.source import read_source


@dataclass(frozen=True, slots=True)
class Done:
    """The new text, and what is to be shown beside it: the part at `at`."""

    text: str
    at: Path = ()


Act = Callable[[str, Board, Said], Done]


def perform(text: str, name: str, said: Said) -> Done:
    """Do it; raises Invalid for what cannot be done, in the author's words."""
    act = ACTS.get(name)
    if act is None:
        raise Invalid("画板不认识这个操作，请刷新页面再试")
    try:
        return act(text, read_board(text), said)
    except editing.Unwritable as error:
        raise Invalid(f"画板改不了这里：{error}。请切换到“文本”修改") from None
    except (LookupError, TypeError):
        raise Invalid("这一步已经不在了，请刷新页面再试") from None


def apply(text: str, edits: list[Edit]) -> str:
    """One after the other; what is dropped leaves no empty braces behind."""
    for path, value in edits:
        if value is not DROP:
            text = editing.put(text, path, value)
            continue
        text = editing.drop(text, path)
        home = path[:-1]
        if home and isinstance(home[-1], str) and _is_empty(text, home):
            text = editing.drop(text, home)
    return text


def _is_empty(text: str, path: Path) -> bool:
    try:
        found = value_at(read_source(text).plain(), path)
    except (LookupError, TypeError):
        return False
    return found in ({}, [])


# Parts ----------------------------------------------------------------------------------------------------------------


def _add(text: str, board: Board, said: Said) -> Done:
    """A new part in `to` at `index`, on `day` or on that of the part before it."""
    kind, to = said.one("kind"), read_path(said.one("to")) or ("steps",)
    if kind not in starting.KINDS:
        raise Invalid("请选择要加什么")
    series = board.series_of(to)
    count = series.count if series is not None else 0
    index = said.number("index", least=0, most=9999)
    place = count if index is None else min(index, count)
    if kind == "W":
        place = 0
    part = starting.new_part(kind, read_day(said.one("day")) or _day_before(series, place), board.ids)
    if kind != "W" and part.get("at") == "T0":
        part["at"] = _clock_before(series, place)
    try:
        made = editing.insert(text, to, place, part)
    except (LookupError, TypeError, AttributeError):
        made = editing.put(text, to, [part])
    return Done(made, (*to, place))


def _day_before(series: Series | None, index: int) -> Day:
    cards = series.cards[:index] if series is not None else []
    return cards[-1].day if cards and cards[-1].kind != "wait" and cards[-1].day.unit else Day()


def _clock_before(series: Series | None, index: int) -> str:
    """The time after the trigger that the step before it has: nothing at once stands behind something later."""
    when = series.cards[index - 1].when if series is not None and 0 < index <= len(series.cards) else None
    is_later = when is not None and when.days is None and when.offset > timedelta()
    return str(series.cards[index - 1].data["at"]) if is_later and series is not None else "T0"


def read_day(text: str) -> Day | None:
    """`D3`, `D-3`, `W2`."""
    unit, number = text[:1], text[1:]
    return Day(unit, int(number)) if unit in ("D", "W") and number.lstrip("-").isdigit() and len(number) < 6 else None


def _remove(text: str, board: Board, said: Said) -> Done:
    at = _at(board, said)
    return Done(editing.drop(text, at))


def _copy(text: str, board: Board, said: Said) -> Done:
    """Right behind the original, with names of its own."""
    at = _at(board, said)
    part, taken = copy.deepcopy(value_at(board.data, at)), set(board.ids)
    for each in _named(part):
        each["id"] = starting.free_name(f"{each['id']}-2"[:60], taken)
        taken.add(each["id"])
    to, index = at[:-1], int(at[-1]) + 1
    return Done(editing.insert(text, to, index, part), (*to, index))


def _named(part: Any) -> Iterator[dict[str, Any]]:
    """The parts in a part, itself first, that have a name of their own."""
    if isinstance(part, dict):
        if isinstance(part.get("id"), str) and (set(part) & {"channel", "branch", "split", "wait", "event", "for"}):
            yield part
        for key in ("wait", "branch", "split", "steps", "else", "then", "on_timeout"):
            yield from _named(part.get(key))
    elif isinstance(part, list):
        for each in part:
            yield from _named(each)


def _move(text: str, board: Board, said: Said) -> Done:
    """To `index` of the series `to`, on `day` when that is another one."""
    at, to = _at(board, said), read_path(said.one("to"))
    if said.one("to") == "":
        to = at[:-1]
    return _moved(text, board, at, to, said.number("index", least=0, most=9999), read_day(said.one("day")))


def _moved(text: str, board: Board, at: Path, to: Path, index: int | None, day: Day | None) -> Done:
    series, card = board.series_of(to), board.find(at)
    if series is None or card is None:
        raise LookupError(to)
    place = _place_on(series, day, at) if index is None else min(index, series.count)
    if _is_new(board, to):
        text, new = _move_into_nothing(text, at, to)
    else:
        text, new = (
            (text, at) if to == at[:-1] and place in (at[-1], int(at[-1]) + 1) else editing.move(text, at, to, place)
        )
    if day is not None and card.kind in ("step", "branch") and (card.day != day or card.kind == "step"):
        text = apply(text, _on_day(card, new, day))
    return Done(text, new)


def _is_new(board: Board, to: Path) -> bool:
    try:
        return not isinstance(value_at(board.data, to), list)
    except (LookupError, TypeError):
        return True


def _move_into_nothing(text: str, at: Path, to: Path) -> tuple[str, Path]:
    """Into a way that has had no list yet."""
    return editing.move(editing.put(text, to, []), at, to, 0)


def _place_on(series: Series, day: Day | None, at: Path) -> int:
    """Behind the last part that is not later than that day."""
    if day is None:
        return series.count
    earlier = [int(card.at[-1]) + 1 for card in series.cards if card.at != at and _is_by(card, day)]
    return max(earlier, default=0)


def _is_by(card: Card, day: Day) -> bool:
    return not card.day.unit or card.day.number <= day.number


def _on_day(card: Card, at: Path, day: Day) -> list[Edit]:
    """Its time on another day: the hours stay, a time counted by the clock becomes one of that day."""
    if card.day == day or card.kind == "wait" or (card.kind != "step" and card.when is None):
        return []
    when = card.when
    window = fields.write_window(when.window) if when is not None and when.window is not None else ""
    if day == Day("D", 0):
        return [((*at, "at"), "T0"), ((*at, "window"), window or DROP)]
    written = f"{day.unit or 'D'}{day.number:+d}"
    if isinstance(card.data.get("window"), str):
        return [((*at, "at"), written)]
    return [((*at, "at"), f"{written} {window}".strip())]


def _shift(text: str, board: Board, said: Said) -> Done:
    """One place up or down; over the edge of a day it goes to that day first."""
    at, by = _at(board, said), -1 if said.one("by") == "-1" else 1
    series, number = board.series_of(at[:-1]), int(at[-1])
    if series is None:
        raise LookupError(at)
    row = next((n for n, row in enumerate(series.rows) if any(card.at == at for card in row.cards)), 0)
    card, neighbour = series.cards[number], number + by
    others = [n for n in (row + by,) if 0 <= n < len(series.rows)]
    at_edge = series.rows[row].cards[0 if by < 0 else -1].at == at
    if at_edge and others and card.kind == "step" and series.rows[others[0]].day.unit:
        day = series.rows[others[0]].day
        if day != card.day and neighbour >= 0 and series.cards[neighbour].kind == "step":
            return Done(apply(text, _on_day(card, at, day)), at)
    if not 0 <= neighbour < series.count:
        return Done(text, at)
    return _moved(text, board, at, at[:-1], neighbour if by < 0 else neighbour + 1, None)


def _at(board: Board, said: Said) -> Path:
    at = read_path(said.one("at"))
    if board.find(at) is None:
        raise LookupError(at)
    return at


# Fields ---------------------------------------------------------------------------------------------------------------


def _put(text: str, board: Board, said: Said) -> Done:
    """One field of a part, of an arm, or of the head."""
    at, field = read_path(said.one("at")), said.one("field")
    where, data = _data_of(board, at)
    reader = (fields.OF_HEAD if not at else fields.OF_PARTS).get(field)
    if reader is None:
        raise Invalid("画板不认识这一项，请刷新页面再试")
    edits = [((*where, *path), value) for path, value in reader(said, data)]
    if field == "id" and where != at and "id" in value_at(board.data, at):
        edits = [((*at, "id"), value) for _, value in edits]  # a wait whose name stands beside it
    return Done(apply(text, edits), at)


def _data_of(board: Board, at: Path) -> tuple[Path, Mapping[str, Any]]:
    """Where the keys of a part stand, and what they say; those of a wait are one deeper."""
    if not at:
        return (), board.data
    data = value_at(board.data, at)
    if isinstance(data.get("wait"), dict) and isinstance(at[-1], int):
        return (*at, "wait"), data["wait"]
    return at, data


def _put_channel(text: str, board: Board, said: Said) -> Done:
    """Another channel: what only the old one read goes, what the new one needs comes."""
    at, letter = _at(board, said), said.one("channel")
    data = dict(value_at(board.data, at))
    if letter not in starting.KINDS or letter in ("wait", "branch", "split"):
        raise Invalid("请选择做什么")
    gone = (channel_of(str(data.get("channel"))).keys | {"do", "content", "coupon", "late", "ttl", "quiet"}) - (
        channel_of(letter).keys | _kept(letter)
    )
    edits: list[Edit] = [((*at, key), DROP) for key in gone if key in data]
    edits.append(((*at, "channel"), letter))
    edits += [((*at, key), value) for key, value in starting.owned(letter).items() if key in gone or key not in data]
    if letter == "W":
        edits += [((*at, "at"), "T0"), ((*at, "window"), DROP), ((*at, "only"), DROP)]
    return Done(apply(text, edits), at)


def _kept(letter: str) -> set[str]:
    match letter:
        case "X":
            return set()
        case "W":
            return {"content", "coupon"}
        case "T" | "M" | "G":
            return {"content", "coupon", "late", "ttl", "quiet"}
        case "S":
            return {"content", "coupon", "ttl"}
    return {"content", "ttl"}


# Arms -----------------------------------------------------------------------------------------------------------------


def _add_arm(text: str, board: Board, said: Said) -> Done:
    """A way more, before the one for all others; of a split, with a fair share for each."""
    at = _at(board, said)
    card = board.find(at)
    if card is None or card.kind not in ("branch", "split"):
        raise LookupError(at)
    count, names = len(card.arms), {arm.name for arm in card.arms}
    name = next(each for each in (f"第 {number} 路" for number in range(count + 1, 99)) if each not in names)
    if card.kind == "split":
        text = editing.insert(text, (*at, "split"), count, {"name": name, "share": "0%", "steps": []})
        return Done(apply(text, list(_fair(at, count + 1))), at)
    has_else = any(arm.is_else for arm in card.arms)
    arm = {"name": name, "if": {"event": "order.paid"}, "steps": []}
    return Done(editing.insert(text, (*at, "branch"), count - has_else, arm), at)


def _add_else(text: str, board: Board, said: Said) -> Done:
    at = _at(board, said)
    arms = value_at(board.data, at)["branch"]
    return Done(editing.insert(text, (*at, "branch"), len(arms), {"name": "其他", "else": []}), at)


def _fair(at: Path, count: int) -> Iterator[Edit]:
    for number in range(count):
        share = 100 // count + (1 if number < 100 % count else 0)
        yield (*at, "split", number, "share"), f"{share}%"


def _remove_arm(text: str, board: Board, said: Said) -> Done:
    arm = read_path(said.one("at"))
    at, kind = arm[:-2], arm[-2]
    card = board.find(at)
    if card is None or len(card.arms) < 2:
        raise Invalid("至少要留一路；不要分支了，请删除整个分支")
    text = editing.drop(text, arm)
    return Done(apply(text, list(_fair(at, len(card.arms) - 1))) if kind == "split" else text, at)


# Lists inside a step: attachments, variants, acts; coupons of the head --------------------------------------------------


def _add_item(text: str, board: Board, said: Said) -> Done:
    at, field = read_path(said.one("at")), said.one("field")
    _, data = _data_of(board, at)
    adder = fields.ADDERS.get(field)
    if adder is None:
        raise Invalid("画板不认识这一项，请刷新页面再试")
    for path, value in adder(said, data):
        whole = (*at, *path)
        text = _append(text, whole[:-1], value) if path[-1] == "+" else apply(text, [(whole, value)])
    return Done(text, at)


def _append(text: str, to: Path, value: Any) -> str:
    try:
        items = value_at(read_source(text).plain(), to)
    except (LookupError, TypeError):
        items = None
    if isinstance(items, list) and items:
        return editing.insert(text, to, len(items), value)
    return editing.put(text, to, [value])


def _remove_item(text: str, board: Board, said: Said) -> Done:
    """`item` is the place below the part."""
    at, item = read_path(said.one("at")), read_path(said.one("item"))
    if not item or item[0] not in ("content", "do", "coupons", "coupon", "trigger", "tests"):
        raise Invalid("画板不认识这一项，请刷新页面再试")
    edits: list[Edit] = [((*at, *item), DROP)]
    variants = item[:-1] if len(item) == 3 and item[-2] == "variants" else ()
    text = apply(text, edits)
    if variants:
        text = apply(text, fields.settled_variants(at, value_at(read_source(text).plain(), (*at, "content"))))
    return Done(text, at)


ACTS: Mapping[str, Act] = {
    "add": _add,
    "remove": _remove,
    "copy": _copy,
    "move": _move,
    "shift": _shift,
    "put": _put,
    "channel": _put_channel,
    "add_arm": _add_arm,
    "add_else": _add_else,
    "remove_arm": _remove_arm,
    "add_item": _add_item,
    "remove_item": _remove_item,
}
