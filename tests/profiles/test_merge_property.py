"""Whatever is joined, parted and bought in whatever order: nothing is lost, and every figure equals a recount."""

from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Connection, Engine, create_engine, event, func, select

from scrm import events, joining
from scrm.commerce import running_totals, store
from scrm.commerce.canonical import read_order
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch, coupon_issue, orders
from scrm.db.every_table import metadata
from scrm.db.vault import Vault
from scrm.errors import ScrmError
from scrm.membership import points
from scrm.membership import store as membership
from scrm.membership.models import points_account
from scrm.profiles import store as profiles
from scrm.profiles.merge import Act
from scrm.profiles.merge_tables import person_merge
from scrm.profiles.models import identity, person, person_field, person_stat
from scrm.profiles.redirects import follow
from scrm.reports import buyer_news, buyers
from scrm.sop.models import enrolment, playbook
from tests.commerce.conftest import NOW, add_person
from tests.console.test_repurchase_kept import SHANGHAI, assert_agrees

VAULT = Vault("a secret that is long enough for tests")
PERSONS = 5


def whole(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that knows persons, as a set of rows."""
    names = [mover.table for mover in joining.MOVERS if mover.table not in ("event", "person_stat")]
    tables = {name: metadata.tables[name] for name in [*names, "person"]}
    return {name: sorted(map(tuple, conn.execute(select(table))), key=repr) for name, table in tables.items()}


@cache
def tables_in_memory() -> Engine:
    """Every example rolls back to them."""
    engine = create_engine("sqlite://")

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: Any, record: Any) -> None:
        dbapi.isolation_level = None
        dbapi.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    metadata.create_all(engine)
    with engine.begin() as conn:
        buyer_news.install(conn)
    return engine


class Joins(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.conn = tables_in_memory().connect()
        self.now = NOW
        self.orders = self.fields = self.coupons = 0
        self.open: list[int] = []

    def teardown(self) -> None:
        self.conn.rollback()
        self.conn.close()

    @initialize()
    def furnish(self) -> None:
        self.ids = [add_person(self.conn, f"客户{n}", wx_unionid=f"o6_{n}") for n in range(PERSONS)]
        self.conn.execute(playbook.insert().values(key="p", title="新客", version=1, changed_at=NOW))
        self.conn.execute(coupon_batch.insert().values(key="b", kind="generated", title="新人券", created_at=NOW))

    def later(self) -> Any:
        self.now += timedelta(minutes=1)
        return self.now

    @rule(who=st.integers(0, PERSONS - 1), number=st.integers(0, 6), status=st.sampled_from(["paid", "closed"]))
    def buys(self, who: int, number: int, status: str) -> None:
        told = {"order_no": f"{who}-{number}", "channel": "pos", "status": status, "paid_fen": 100 + number}
        moments = {"paid_at": self.later().isoformat(), "platform_updated_at": self.now.isoformat()}
        order = read_order({**told, **moments, "buyer_ref": {"wx_unionid": f"o6_{who}"}})
        store.save_orders(self.conn, [order], now=self.now, vault=VAULT, route="api")

    @rule(who=st.integers(0, PERSONS - 1), number=st.integers(7, 9), days=st.integers(1, 400), kept=st.integers(0, 2))
    def bought_long_ago(self, who: int, number: int, days: int, kept: int) -> None:
        told = {
            "order_no": f"{who}-{number}",
            "channel": "pos",
            "status": "paid",
            "paid_fen": 200,
            "refunded_fen": 100 * kept,
        }
        moments = {"paid_at": (NOW - timedelta(days=days)).isoformat(), "platform_updated_at": self.later().isoformat()}
        order = read_order({**told, **moments, "buyer_ref": {"wx_unionid": f"o6_{who}"}})
        store.save_orders(self.conn, [order], now=self.now, vault=VAULT, route="api")

    @rule()
    def cohorts_are_followed(self) -> None:
        buyers.follow(self.conn, self.now, SHANGHAI)

    @rule(who=st.integers(0, PERSONS - 1), key=st.sampled_from(["肤质", "生日"]), value=st.integers(0, 2))
    def is_described(self, who: int, key: str, value: int) -> None:
        holder = follow(self.conn, self.ids[who])
        profiles.set_field(self.conn, holder, key, value, source="test", now=self.later())

    @rule(who=st.integers(0, PERSONS - 1), step=st.integers(0, 3))
    def enrols(self, who: int, step: int) -> None:
        holder = follow(self.conn, self.ids[who])
        values = {"playbook_key": "p", "version": 1, "run_key": f"person:{holder}", "person_id": holder, "step": step}
        known = select(enrolment.c.id).where(enrolment.c.run_key == f"person:{holder}")
        if self.conn.execute(known).first() is None:
            self.conn.execute(enrolment.insert().values(**values, anchor_at=self.later(), enrolled_at=self.now))

    @rule(who=st.integers(0, PERSONS - 1))
    def gets_a_coupon(self, who: int) -> None:
        holder = follow(self.conn, self.ids[who])
        coupons.issue(self.conn, batch_key="b", person_id=holder, reason_key=f"p:person:{holder}", now=self.later())

    @rule(who=st.integers(0, PERSONS - 1), amount=st.sampled_from([50, 80, -30]))
    def moves_points(self, who: int, amount: int) -> None:
        key, holder = f"test:{self.later().isoformat()}", follow(self.conn, self.ids[who])
        with suppress(ScrmError):
            points.move(self.conn, holder, amount, "campaign", business_key=key, by="test", now=self.now)

    @rule(one=st.integers(0, PERSONS - 1), other=st.integers(0, PERSONS - 1))
    def is_joined(self, one: int, other: int) -> None:
        kept, gone = follow(self.conn, self.ids[one]), follow(self.conn, self.ids[other])
        if kept != gone:
            self.open.append(joining.join(self.conn, kept, gone, Act("zhangmin", "manual"), now=self.later()))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def is_parted(self, data: st.DataObject) -> None:
        """Any join, not only the last."""
        merge_id = data.draw(st.sampled_from(self.open))
        self.open.remove(merge_id)
        joining.part(self.conn, merge_id, by="zhangmin", now=self.later())

    @rule(one=st.integers(0, PERSONS - 1), other=st.integers(0, PERSONS - 1))
    def is_joined_and_parted_at_once(self, one: int, other: int) -> None:
        kept, gone = follow(self.conn, self.ids[one]), follow(self.conn, self.ids[other])
        if kept == gone:
            return
        before = whole(self.conn)
        merge_id = joining.join(self.conn, kept, gone, Act("zhangmin", "manual"), now=self.later())
        joining.part(self.conn, merge_id, by="zhangmin", now=self.later())
        assert whole(self.conn) == before

    @invariant()
    def totals_equal_a_recount(self) -> None:
        for (person_id,) in self.conn.execute(select(person.c.id)).all():
            stat = select(person_stat).where(person_stat.c.person_id == person_id)
            row = self.conn.execute(stat).mappings().one_or_none()
            counted = running_totals.count_totals(self.conn, person_id)
            kept = {name: row[name] if row is not None else None for name in counted}
            assert {name: value or 0 for name, value in kept.items()} == {n: v or 0 for n, v in counted.items()}

    @invariant()
    def cohorts_equal_the_orders(self) -> None:
        assert_agrees(self.conn, self.now + timedelta(seconds=1), SHANGHAI)

    @invariant()
    def points_equal_the_sum_of_their_ledger_and_lots(self) -> None:
        for row in self.conn.execute(select(points_account)).all():
            assert membership.recount(self.conn, row.person_id)["available"] == row.available
            assert membership.load_account(self.conn, row).debt >= 0

    @invariant()
    def every_identity_and_order_has_one_living_person(self) -> None:
        living = set(self.conn.scalars(select(person.c.id)))
        assert len(living) == PERSONS - len(self.open)
        for table in (identity, orders, events.event, person_field, enrolment, coupon_issue):
            assert set(self.conn.scalars(select(table.c.person_id))) <= living
        values = self.conn.execute(select(identity.c.value)).scalars().all()
        assert sorted(values) == [f"o6_{n}" for n in range(PERSONS)]

    @invariant()
    def an_order_is_with_its_unionid(self) -> None:
        bound = select(orders.c.buyer_unionid, orders.c.person_id)
        owners = {row.value: row.person_id for row in self.conn.execute(select(identity))}
        for unionid, person_id in self.conn.execute(bound):
            assert owners[unionid] == person_id

    @invariant()
    def one_live_run_per_playbook_and_key(self) -> None:
        runs = select(func.count()).where(enrolment.c.state == "active").group_by(enrolment.c.person_id)
        assert all(count == 1 for count in self.conn.scalars(runs))

    @invariant()
    def the_log_tells_every_join(self) -> None:
        undone = select(func.count()).where(person_merge.c.undone_at.is_(None))
        assert self.conn.execute(undone).scalar_one() == len(self.open)


TestJoins = Joins.TestCase
TestJoins.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
