"""How near a deadline is, in words and in urgency."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from web.render import until, urgency

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai


@pytest.mark.parametrize(
    ("left", "words", "how"),
    [
        (timedelta(seconds=-1), "已到期", "soon"),
        (timedelta(seconds=20), "还剩 1 分钟", "soon"),
        (timedelta(minutes=59), "还剩 59 分钟", "soon"),
        (timedelta(hours=3), "今天 13:00 前", "near"),
        (timedelta(hours=20), "明天 06:00 前", "near"),
        (timedelta(days=3), "03-05 10:00 前", "far"),
    ],
)
def test_a_deadline_is_told_as_people_tell_it(left: timedelta, words: str, how: str) -> None:
    assert until(NOW + left, ZoneInfo("Asia/Shanghai"), NOW) == words
    assert urgency(NOW + left, NOW) == how
