"""A table of orders with buyers to be looked up: how fast, with how much memory, and what a callback waits beside it."""

import asyncio
import csv
import os
import random
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.figures import Figure, percentile, say, tell
from bench.stores import both
from scrm.clock import SystemClock
from scrm.commerce.files.import_orders import Into, import_orders, spare_the_collector
from scrm.db import Database, Priority
from scrm.db.bulk import insert_rows
from scrm.db.migrate import migrate
from scrm.db.vault import Vault
from scrm.profiles.models import identity, person

ORDERS = int(os.environ.get("SCRM_BENCH_ORDERS", "1000000"))
PERSONS = min(200_000, ORDERS)
NAIVE_ORDERS = 500
PROBE_SECONDS = 0.02
_VAULT = Vault("a secret that is long enough for a benchmark")
_HEADINGS = "订单编号,渠道,店铺,订单状态,下单时间,付款时间,应付金额,实付金额,手机号,收货人,省,市,区,收货地址,商品名称,数量,单价,商家编码"


def main() -> list[Figure]:
    figures: list[Figure] = []
    for store in both("imports"):
        path = _write(store.folder / "orders.csv")
        say(f"imports: {ORDERS:,} orders, {path.stat().st_size / 1e6:.0f} MB")
        figures += _measured(store.title, store.url, path)
    return figures


def _measured(store: str, url: str, path: Path) -> list[Figure]:
    migrate(url)
    return asyncio.run(_measure(store, url, path))


def _write(path: Path) -> Path:
    """One row an order; two buyers in three are known."""
    chance = random.Random(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADINGS.split(","))
        for number in range(ORDERS):
            day, fen = f"2025-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}", chance.randint(1000, 99999)
            moment = f"{day} {chance.randint(8, 23):02d}:{chance.randint(0, 59):02d}:{chance.randint(0, 59):02d}"
            yuan, phone = f"{fen / 100:.2f}", f"138{chance.randint(0, PERSONS * 3 // 2):08d}"
            place = ["林晓", "浙江省", "杭州市", "西湖区", "文三路 1 号"]
            goods = ["桂花乌龙礼盒", "1", yuan, f"SKU{number % 100}"]
            writer.writerow(
                [f"32{number:017d}", "淘宝", "s1", "交易成功", moment, moment, yuan, yuan, phone, *place, *goods]
            )
    return path


async def _measure(store: str, url: str, path: Path) -> list[Figure]:

    db = Database(url)
    try:
        await db.write(_seed)
        spare_the_collector()
        naive = await asyncio.to_thread(_naive, path)
        into = Into(db, _VAULT, SystemClock(), ZoneInfo("Asia/Shanghai"))
        waits: list[float] = []
        probing = asyncio.create_task(_probe(db, waits))
        began = time.perf_counter()
        counts = await import_orders(into, [path])
        seconds = time.perf_counter() - began
        probing.cancel()
    finally:
        await db.close()
    if counts.created != ORDERS:
        raise RuntimeError(f"{counts.created} of {ORDERS} orders came in")
    usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peer = "csv and one ORM commit a row, on SQLite"
    rate = ORDERS / seconds
    return [
        tell(Figure(f"imports, {store}: orders against a naive import", rate, "/s", peer, naive, rate / naive, goal=8)),
        tell(Figure(f"imports, {store}: orders", rate, "/s", goal=25_000)),
        tell(Figure(f"imports, {store}: a callback's commit beside it, p99", percentile(waits, 0.99) * 1000, "ms", goal=150, at_most=True)),
        tell(Figure(f"imports, {store}: memory of the greater process", usage / 1024, "MB", goal=300, at_most=True)),
    ]  # fmt: skip


def _seed(conn: Connection) -> None:
    now = datetime.now(UTC)
    insert_rows(conn, person, [{"id": number + 1, "name": "客户", "created_at": now} for number in range(PERSONS)])
    rows = [
        {
            "person_id": number + 1,
            "kind": "mobile_e164",
            "value": _VAULT.lookup(f"+86138{number:08d}"),
            "source": "bench",
            "created_at": now,
        }
        for number in range(PERSONS)
    ]
    insert_rows(conn, identity, rows)
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT setval('person_id_seq', :most)"), {"most": PERSONS})


async def _probe(db: Database, waits: list[float]) -> None:
    """What a callback does: one small write that goes before all others."""
    while True:
        began = time.perf_counter()
        await db.write_as(Priority.CALLBACK, _touch)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PROBE_SECONDS)


def _touch(conn: Connection) -> None:
    conn.execute(person.update().where(person.c.id == 1).values(name="客户"))


class _Base(DeclarativeBase):
    pass


class _Order(_Base):
    __tablename__ = "naive_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_no: Mapped[str] = mapped_column(unique=True)
    phone: Mapped[str] = mapped_column(index=True)
    paid_fen: Mapped[int]
    status: Mapped[str]
    title: Mapped[str]


def _naive(path: Path) -> float:
    """Rows a second of the import that everybody writes first."""
    with tempfile.TemporaryDirectory() as folder, path.open(encoding="utf-8") as file:
        engine = create_engine(f"sqlite:///{folder}/naive.db")
        _Base.metadata.create_all(engine)
        began = time.perf_counter()
        for number, row in enumerate(csv.DictReader(file)):
            if number == NAIVE_ORDERS:
                break
            with Session(engine) as session:
                _naive_row(session, row)
                session.commit()
        engine.dispose()
        return NAIVE_ORDERS / (time.perf_counter() - began)


def _naive_row(session: Session, row: dict[str, Any]) -> None:
    order = session.scalars(select(_Order).where(_Order.order_no == row["订单编号"])).one_or_none()
    if order is None:
        order = _Order(order_no=row["订单编号"])
        session.add(order)
    order.phone, order.status, order.title = row["手机号"], row["订单状态"], row["商品名称"]
    order.paid_fen = round(float(row["实付金额"]) * 100)
