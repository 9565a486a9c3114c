"""Whatever happens in whatever order: balances are the sum of the ledger, and nobody spends what they do not have."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scrm.membership.ledger import Account, NotEnough

START = datetime(2026, 6, 18, tzinfo=UTC)
ORDERS = st.integers(1, 3)
POINTS = st.integers(0, 50)


class Ledger(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.account, self.now = Account(), START

    @rule(amount=st.integers(1, 50), days=st.none() | st.integers(1, 20))
    def earn(self, amount: int, days: int | None) -> None:
        ends = None if days is None else self.now + timedelta(days=days)
        self.account.earn(amount, "campaign", expires_at=ends)

    @rule(order=ORDERS, points=POINTS, is_free=st.booleans(), debts=st.booleans(), days=st.integers(1, 20))
    def settle(self, order: int, points: int, is_free: bool, debts: bool, days: int) -> None:
        for _ in range(2):
            before = len(self.account.moved)
            self.account.settle_order(
                order,
                points,
                is_free=is_free,
                now=self.now,
                expires_at=self.now + timedelta(days=days),
                tell_at=None,
                may_go_negative=debts,
            )
        assert len(self.account.moved) == before  # the second time nothing moves
        assert sum(lot.amount for lot in self.account.lots if lot.order_id == order) == points

    @rule(amount=st.integers(1, 80))
    def spend(self, amount: int) -> None:
        can, before = self.account.spendable(self.now), self.account.available
        usable = sum(lot.remaining for lot in self.account.lots if lot.is_open(self.now))
        assert can <= usable
        try:
            self.account.spend(amount, "exchange", now=self.now)
        except NotEnough:
            assert (amount > can, self.account.available) == (True, before)
        else:
            assert (amount <= can, self.account.available) == (True, before - amount)

    @rule(days=st.integers(0, 9))
    def time_passes(self, days: int) -> None:
        self.now += timedelta(days=days)

    @rule()
    def expire(self) -> None:
        self.account.expire(self.now)
        assert self.account.expire(self.now) == 0

    @invariant()
    def balances_are_sums(self) -> None:
        account = self.account
        assert account.available == sum(move.available for move in account.moved)
        assert account.frozen == sum(move.frozen for move in account.moved)
        assert account.frozen == sum(lot.remaining for lot in account.lots if lot.state == "frozen") >= 0
        assert account.debt >= 0
        assert all(0 <= lot.remaining <= max(lot.amount, lot.remaining) for lot in account.lots)
        running = frozen = 0
        for move in account.moved:
            running, frozen = running + move.available, frozen + move.frozen
            assert (running, frozen) == (move.available_after, move.frozen_after)


TestLedger = Ledger.TestCase


def test_those_that_end_first_go_first_and_a_debt_is_paid_from_what_comes() -> None:
    account = Account()
    account.earn(10, "campaign", expires_at=START + timedelta(days=9))
    account.earn(10, "campaign", expires_at=START + timedelta(days=2))
    account.spend(12, "exchange", now=START)
    assert [lot.remaining for lot in account.lots] == [8, 0]
    account.settle_order(1, 30, is_free=True, now=START, expires_at=None, tell_at=None, may_go_negative=True)
    account.spend(38, "exchange", now=START)
    account.settle_order(1, 0, is_free=True, now=START, expires_at=None, tell_at=None, may_go_negative=True)
    assert (account.available, account.spendable(START)) == (-30, 0)
    account.earn(40, "sign_in")
    assert (account.available, account.spendable(START), account.debt) == (10, 10, 0)


def test_a_refund_does_not_take_what_has_expired_once_more() -> None:
    account = Account()

    def settle(points: int) -> None:
        ends = START + timedelta(days=9)
        account.settle_order(1, points, is_free=True, now=START, expires_at=ends, tell_at=None, may_go_negative=True)

    settle(100)
    account.spend(30, "exchange", now=START)
    account.expire(START + timedelta(days=9))
    account.earn(50, "sign_in")
    settle(40)
    assert account.available == 50
    settle(0)
    assert account.available == 20  # the 30 that were spent
