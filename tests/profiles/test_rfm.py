"""RFM by fixed thresholds: eight classes, equal values in equal classes, nothing for who has bought nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from scrm.profiles.rfm import Cuts, Rfm, score

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
CUTS = Cuts([30, 90, 180, 365], [2, 3, 5, 10], [10_000, 30_000, 80_000, 200_000], 3)


def of(days: int, orders: int, yuan: int) -> Rfm | None:
    return score(NOW - timedelta(days=days), orders, yuan * 100, CUTS, NOW)


@pytest.mark.parametrize(
    ("days", "orders", "yuan", "title", "letters"),
    [
        (10, 10, 2000, "重要价值客户", "R5 F5 M5"),
        (180, 2, 300, "重要发展客户", "R3 F2 M3"),
        (181, 3, 800, "重要保持客户", "R2 F3 M4"),
        (366, 1, 1999, "重要挽留客户", "R1 F1 M4"),
        (31, 4, 299, "一般价值客户", "R4 F3 M2"),
        (0, 1, 99, "一般发展客户", "R5 F1 M1"),
        (365, 9, 100, "一般保持客户", "R2 F4 M2"),
        (999, 1, 1, "一般挽留客户", "R1 F1 M1"),
    ],
)
def test_each_of_the_eight_classes_has_its_name(days: int, orders: int, yuan: int, title: str, letters: str) -> None:
    found = of(days, orders, yuan)
    assert found is not None
    assert (found.title, found.letters) == (title, letters)


def test_who_kept_nothing_of_what_he_bought_is_in_no_class() -> None:
    assert of(1, 0, 0) is None
    assert score(None, 3, 100, CUTS, NOW) is None
