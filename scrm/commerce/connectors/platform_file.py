"""What the platforms' own exports have in common: rows of one number are one order, by tables of headings and words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from scrm.commerce.canonical import Line as OrderLine
from scrm.commerce.canonical import Order, Receiver, Refund, Shipment
from scrm.commerce.connectors.connector import Connector, Context, Parser, Reader, lacking
from scrm.commerce.connectors.reader import (
    Line,
    Sheet,
    clean,
    normalise_heading,
    read_count,
    read_fen,
    read_id,
    read_moment,
    value_of,
)
from scrm.commerce.connectors.status_words import ended
from scrm.commerce.merge import RANK

T = TypeVar("T")
Names = Mapping[str, Sequence[str]]

TIMES = ("ordered_at", "paid_at", "shipped_at", "delivered_at", "completed_at", "closed_at")
_AMOUNTS = (
    "goods",
    "freight",
    "discount",
    "platform_discount",
    "payable",
    "paid",
    "refunded",
    "income",
    # Paid from what the buyer has with the platform: part of the payment, not a discount.
    "balance",
    # Taken off while paying; the export may or may not have subtracted it.
    "off_the_payment",
    # Before and after the shop's discount.
    "listed",
    "settled",
)
_YES = frozenset(("是", "1", "true", "yes", "赠品"))
_DONE_REFUND = ("退款成功", "售后成功", "已退款", "退款完成", "售后完成")
_PARTLY = "部分退款"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One platform's export: which heading means what, what its words mean, and how it repeats money."""

    key: str
    title: str
    names: Names
    statuses: Mapping[str, str]
    marks: frozenset[str]
    # Money given for the whole order on each of its rows; otherwise the rows' own arithmetic tells.
    repeats_money: bool = False
    # The price column is for all pieces of the row, not for one.
    prices_are_sums: bool = False
    # Without a time of payment only a completed order is paid: the courier collects.
    pays_on_delivery: bool = False
    # Amounts that add up, by our field.
    sums: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Which of our buyer ids the buyer column is.
    buyer: str = "nick"
    # What an order number itself says about when it was made.
    dated: Callable[[str], str] | None = None
    # Prepares the text of a status before it is looked up.
    plain_status: Callable[[str], str] = str
    parent_of: Callable[[str], str] | None = None
    # Headings that the platform has and we do not use: none of them is another one renamed.
    unused: Sequence[str] = ()

    def connector(self) -> Connector:
        """As the list of formats takes it."""
        known = [heading for group in (*self.names.values(), *self.sums.values()) for heading in group]
        return Connector(
            key=self.key,
            title=self.title,
            headings=frozenset(map(normalise_heading, known)) | self.marks,
            marks=self.marks,
            fit=partial(fit, self),
        )

    def __reduce__(self) -> tuple[Callable[[str], "Dialect"], tuple[str]]:
        """Another process finds it by its key: its words and functions are there already."""
        return _dialect_of, (self.key,)


def _dialect_of(key: str) -> Dialect:
    from scrm.commerce.connectors import find_connector

    made = find_connector(key).fit
    assert isinstance(made, partial)  # noqa: S101 - `connector` above made it
    dialect: Dialect = made.args[0]
    return dialect


def is_paid_from(dialect: Dialect, status: str) -> bool:
    """Whether an order that has come so far is paid, although no time of payment was told."""
    least = RANK["completed" if dialect.pays_on_delivery else "paid"]
    return bool(least <= RANK[status] <= RANK["completed"])


def dialect_of(key: str) -> Dialect | None:
    """The dialect of a format, None when it is of another make."""
    from scrm.commerce.connectors import CONNECTORS

    fits = (one.fit for one in CONNECTORS if one.key == key)
    return next((made.args[0] for made in fits if isinstance(made, partial)), None)


def fit(dialect: Dialect, sheets: list[Sheet]) -> Parser:
    """One sheet; raises Invalid that names the columns that lack."""
    sheet = sheets[0]
    reader = Reader(sheet, dialect.names)
    missing = [dialect.names[name][0] for name in ("order_no", "status") if not reader.has(name)]
    money = [name for name in ("payable", "paid", "settled") if name in dialect.names]
    if not any(reader.has(name) for name in money):
        missing.append(dialect.names[money[0]][0])
    if missing:
        known = {normalise_heading(heading) for group in dialect.names.values() for heading in group} | dialect.marks
        raise lacking(
            sheet,
            dialect.title,
            missing,
            known | set(map(normalise_heading, [*_single_names(dialect), *dialect.unused])),
        )
    place = reader.place("order_no")
    assert place is not None  # noqa: S101 - seen above
    return Parser(
        sheet=sheet,
        details=None,
        id_place=place,
        detail_id_place=None,
        time_places=tuple(
            found for name in TIMES if name in dialect.names and (found := reader.place(name)) is not None
        ),
        build=_Orders(dialect, reader, Reader(sheet, _single(dialect.sums))).build,
    )


def _single_names(dialect: Dialect) -> list[str]:
    return [heading for group in dialect.sums.values() for heading in group]


def _single(sums: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Each summand as a field of its own: `discount:0`, `discount:1` ..."""
    return {f"{name}:{place}": [heading] for name, group in sums.items() for place, heading in enumerate(group)}


class _Orders:
    """Rows of one number to one order."""

    def __init__(self, dialect: Dialect, reader: Reader, summands: Reader) -> None:
        self._dialect, self._reader, self._summands = dialect, reader, summands
        self._titles = {name: headings[0] for name, headings in dialect.names.items()}
        self._sums = {
            name: [f"{name}:{place}" for place in range(len(group)) if summands.has(f"{name}:{place}")]
            for name, group in dialect.sums.items()
        }

    def build(self, rows: Sequence[Line], detail_rows: Sequence[Line], context: Context) -> Order:
        first = self._first
        no = read_id(first(rows, "order_no"))
        times = {name: self._moment(rows, name, context) for name in TIMES if name in self._titles}
        if times.get("ordered_at") is None and times.get("paid_at") is None and self._dialect.dated is not None:
            times["ordered_at"] = read_moment(self._dialect.dated(no), context.zone)
        words = [clean(self._get(row, "status")) for row in rows]
        status = _of_all(
            {self._status(text, times.get("paid_at") is not None, context) for text in words if text} or {"unknown"}
        )
        lines = [line for place, row in enumerate(rows, start=1) for line in self._lines(row, place)]
        money = self._money(rows, lines)
        is_paid = times.get("paid_at") is not None or is_paid_from(self._dialect, status)
        paid = self._paid(money) if is_paid or status == "closed" else 0
        refunds = self._refunds(rows, no, paid or 0, context)
        is_told = any(case.status != "unknown" for case in refunds)
        note = clean(first(rows, "seller_note"))
        return Order(
            channel=self._dialect.key,
            shop_key=context.shop_key,
            order_no=no,
            parent_order_no=self._parent(rows, note, no),
            status=status,  # type: ignore[arg-type]
            raw_status=words[0] if words else "",
            goods_fen=money["goods"],
            freight_fen=money["freight"],
            discount_fen=None if money["discount"] is None else max(money["discount"], 0),
            platform_discount_fen=money["platform_discount"],
            payable_fen=money["payable"],
            paid_fen=paid,
            refunded_fen=None if is_told else money["refunded"],
            merchant_income_fen=None if money["income"] is None else max(money["income"], 0),
            platform_updated_at=context.exported_at,
            buyer_ref=self._buyer(rows),
            receiver=self._receiver(rows),
            buyer_note=clean(first(rows, "buyer_note")),
            seller_note=note,
            lines=lines or None,
            shipments=self._shipments(rows),
            refunds=refunds or None,
            **times,  # type: ignore[arg-type]
        )

    def _get(self, row: Line, name: str) -> str:
        return self._reader.get(row, name) if name in self._titles else ""

    def _first(self, rows: Sequence[Line], name: str) -> str:
        """From the first row that fills it."""
        if name not in self._titles:
            return ""
        return next((cell for row in rows if value_of(cell := self._reader.get(row, name))), "")

    def _told(self, name: str, read: Callable[[str], T], cell: str) -> T:
        try:
            return read(cell)
        except ValueError as error:
            raise ValueError(f"“{self._titles.get(name, name)}”{error}") from None

    def _moment(self, rows: Sequence[Line], name: str, context: Context) -> datetime | None:
        return self._told(name, lambda cell: read_moment(cell, context.zone), self._first(rows, name))

    def _fen(self, row: Line, name: str) -> int | None:
        cell = self._get(row, name)
        return self._told(name, read_fen, cell) if cell else None

    def _status(self, text: str, is_paid: bool, context: Context) -> str:
        find, known = context.words.find, self._dialect.statuses
        said = self._dialect.plain_status(text)
        status = find(said, known)
        if status is None:
            # 已发货,退款成功 and the like: the end says how it came out.
            parts = [part for part in normalise_heading(said).split(",") if part]
            if any(part in _DONE_REFUND for part in parts):
                return "closed"
            status = find(parts[0] if parts else "", known) or context.words.note(said)
        return ended(status, is_paid)

    # -- goods

    def _lines(self, row: Line, place: int) -> list[OrderLine]:
        title = clean(self._get(row, "title"))
        merchant_sku = value_of(self._get(row, "merchant_sku"))
        if not title and not merchant_sku:
            return []
        spec = clean(self._get(row, "spec"))
        titles = [part for part in title.replace("；", ";").split(";") if part]
        specs = spec.replace("；", ";").split(";")
        if len(titles) > 1 and len(specs) == len(titles) and not self._fen(row, "price"):
            return [
                OrderLine(line_key=f"{place}.{number}", title=one, spec=of)
                for number, (one, of) in enumerate(zip(titles, specs, strict=True), start=1)
            ]
        count = self._told("qty", read_count, self._get(row, "qty"))
        qty = 1 if count is None else count
        price = self._fen(row, "price")
        if price is not None and self._dialect.prices_are_sums:
            price = price // qty if qty else price
        return [
            OrderLine(
                line_key=self._line_key(row, place),
                title=title or merchant_sku,
                spec=spec,
                platform_item_id=value_of(self._get(row, "item"))[:80],
                platform_sku_id=value_of(self._get(row, "sku"))[:80],
                merchant_sku=merchant_sku[:80],
                qty=qty,
                unit_price_fen=price,
                is_gift=value_of(self._get(row, "gift")).lower() in _YES,
                line_status=clean(self._get(row, "aftersale"))[:40],
            )
        ]

    def _line_key(self, row: Line, place: int) -> str:
        own = read_id(self._get(row, "line_no"))
        if own:
            return own
        goods = value_of(self._get(row, "sku")) or value_of(self._get(row, "item"))
        return f"{goods[:80]}:{place}" if goods else str(place)

    # -- money

    def _money(self, rows: Sequence[Line], lines: list[OrderLine]) -> dict[str, int | None]:
        """Amounts of the order in fen, each taken once where the rows repeat it, summed where they divide it."""
        once = self._dialect.repeats_money or self._is_repeated(rows)
        counted = rows[:1] if once else rows
        money = {name: _sum(self._amount(row, name) for row in counted) for name in _AMOUNTS}
        if money["refunded"] is not None:  # some write what went back as a negative amount
            money["refunded"] = abs(money["refunded"])
        if money["balance"]:
            money["payable"] = (money["payable"] or 0) + money["balance"]
        if money["listed"] is not None and money["settled"] is not None:
            money["discount"] = money["listed"] - money["settled"]
        priced = [line for line in lines if line.unit_price_fen is not None]
        if money["goods"] is None and priced:
            money["goods"] = sum((line.unit_price_fen or 0) * line.qty for line in priced)
        return money

    def _amount(self, row: Line, name: str) -> int | None:
        own = self._fen(row, name)
        summands = [self._summand(row, one) for one in self._sums.get(name, ())]
        return _sum((own, *summands))

    def _summand(self, row: Line, name: str) -> int | None:
        cell = self._summands.get(row, name)
        kind, _, place = name.partition(":")
        try:
            return read_fen(cell) if cell else None
        except ValueError as error:
            raise ValueError(f"“{self._dialect.sums[kind][int(place)]}”{error}") from None

    def _is_repeated(self, rows: Sequence[Line]) -> bool:
        """Every row says the same, and it is more than the row's own goods: it is the whole order's."""
        amounts = [self._amount(row, "payable") or self._amount(row, "paid") or 0 for row in rows]
        if len(rows) < 2 or len(set(amounts)) > 1 or not amounts[0]:
            return False
        own = [self._goods_of(row) for row in rows]
        known = [goods for goods in own if goods is not None]
        return bool(known) and amounts[0] > min(known) + (self._amount(rows[0], "freight") or 0)

    def _goods_of(self, row: Line) -> int | None:
        price = self._fen(row, "price")
        if price is None:
            return self._fen(row, "goods")
        if self._dialect.prices_are_sums:
            return price
        count = self._told("qty", read_count, self._get(row, "qty"))
        return price * (1 if count is None else count)

    def _paid(self, money: dict[str, int | None]) -> int | None:
        paid = money["paid"] if money["paid"] is not None else money["payable"]
        if paid is None:
            return None
        off = money["off_the_payment"]
        return max(paid - off, 0) if off and not self._is_taken_off(money, off) else paid

    def _is_taken_off(self, money: dict[str, int | None], off: int) -> bool:
        """Whether what the payment was reduced by is out of the amount already, by the order's own sum."""
        listed = (money["goods"] or 0) + (money["freight"] or 0) - (money["discount"] or 0)
        return listed - (money["platform_discount"] or 0) == money["payable"] and off > 0

    # -- after-sales

    def _refunds(self, rows: Sequence[Line], no: str, paid: int, context: Context) -> list[Refund]:
        """What the after-sale column of each row says, with the money of the row."""
        words = [clean(self._get(row, "aftersale")) for row in rows]
        states = [self._case_state(row, text, context) for row, text in zip(rows, words, strict=True)]
        are_all_done = all(state == "refunded" for state in states)
        cases = []
        for place, (row, text, state) in enumerate(zip(rows, words, states, strict=True)):
            own = self._amount(row, "refunded")
            own = None if own is None else abs(own)
            if not state or (are_all_done and place > 0 and own is None):
                continue
            if state in ("cancelled", "rejected", "failed") and own:
                continue  # money went back all the same: the column says how much
            if state in ("refunded", "unknown") and not own and _PARTLY not in text:
                own = paid if are_all_done or len(rows) == 1 else self._own_part(rows, place, paid)
            cases.append(self._case(row, no, place, state, own or 0, text if state == "unknown" else ""))
        return cases

    def _case_state(self, row: Line, text: str, context: Context) -> str:
        """The row's case, by its own column or by the end of its status: 已发货,退款成功."""
        if _has(clean(self._get(row, "status")), _DONE_REFUND):
            return "refunded"
        return context.words.refund(text) if value_of(text) else ""

    def _own_part(self, rows: Sequence[Line], place: int, paid: int) -> int:
        """A row's part of what was paid: what it says itself, or by the price of its goods."""
        repeated = self._dialect.repeats_money or self._is_repeated(rows)
        own = self._amount(rows[place], "paid") or self._amount(rows[place], "payable")
        if own is not None and not repeated:
            return min(own, paid)
        goods = [self._goods_of(row) or 0 for row in rows]
        return paid * goods[place] // sum(goods) if sum(goods) else 0

    def _case(self, row: Line, no: str, place: int, status: str, amount: int, raw: str) -> Refund:
        number = read_id(self._get(row, "line_no")) or f"{no}-{place + 1}"
        return Refund(
            refund_no=f"{number}-refund"[:80],
            status=status,  # type: ignore[arg-type]
            amount_fen=max(amount, 0),
            raw_status=raw,
        )

    # -- people and parcels

    def _buyer(self, rows: Sequence[Line]) -> dict[str, str]:
        ids = {
            self._dialect.buyer: value_of(self._first(rows, "buyer")),
            "nick": value_of(self._first(rows, "nick")),
            "mobile_e164": value_of(self._first(rows, "phone")),
        }
        return {name: value for name, value in ids.items() if value}

    def _receiver(self, rows: Sequence[Line]) -> Receiver | None:
        values = {
            name: value_of(self._first(rows, column))
            for name, column in (
                ("name", "receiver"),
                ("phone", "phone"),
                ("province", "province"),
                ("city", "city"),
                ("district", "district"),
            )
        }
        street, address = value_of(self._first(rows, "street")), value_of(self._first(rows, "address"))
        values["address"] = address if address.startswith(street) else f"{street}{address}"
        return Receiver(**values) if values["name"] or values["phone"] or values["address"] else None

    def _shipments(self, rows: Sequence[Line]) -> list[Shipment] | None:
        parcels = {}
        for row in rows:
            carrier = value_of(self._get(row, "carrier"))
            for number in self._get(row, "tracking_no").replace("，", ",").replace(";", ",").split(","):
                if found := value_of(number):
                    parcels[found] = Shipment(tracking_no=read_id(found)[:80], carrier_name=carrier)
        return list(parcels.values()) or None

    def _parent(self, rows: Sequence[Line], note: str, no: str) -> str:
        parent = read_id(self._first(rows, "parent_order_no"))
        if not parent and self._dialect.parent_of is not None:
            parent = self._dialect.parent_of(note)
        return parent if parent != no else ""


def _sum(amounts: Iterable[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _has(text: str, words: Sequence[str]) -> bool:
    return any(word in text for word in words)


def _of_all(statuses: set[str]) -> str:
    """An order's status from its rows': closed rows do not close the others, and the least advanced one tells."""
    alive = statuses - {"closed", "cancelled", "unknown"} or statuses - {"unknown"} or statuses
    if "paid" in alive and alive & {"shipped", "completed"}:
        return "partially_shipped"
    return min(alive, key=lambda status: RANK[status])


def words(**by_status: Sequence[str]) -> dict[str, str]:
    """Statuses by their normalised words."""
    return {normalise_heading(text): status for status, texts in by_status.items() for text in texts}
