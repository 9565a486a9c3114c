"""Forms with what no calendar, list or week has in it: answered in words, never by a page that failed."""

import pytest

from tests.console.conftest import Visitor

CAMPAIGN = {
    "title": "老带新",
    "starts": "2026-03-01",
    "ends": "9999-12-31",
    "order_days": "30",
    "return_days": "15",
    "stay_days": "7",
}
WAY = {
    "title": "新",
    "kind": "门店",
    "userid": "nobody-here",
    "verify0_day": "99999999999",
    "verify0_start": "09:00",
    "verify0_end": "10:00",
}


@pytest.mark.parametrize(
    ("path", "form", "says"),
    [
        ("/console/referrals/campaigns/new", CAMPAIGN, "结束日期“9999-12-31”看不懂"),
        ("/console/library/new", {"title": "话", "text": "好", "until": "9999-12-31"}, "一直有效就不填"),
        ("/console/contact-ways/new", WAY, "星期"),
        ("/console/mass-messages", {"userid": "lina", "text": "好", "at": "9999-12-31T23:59"}, "请选定时的日期和时间"),
        ("/console/transfers", {"kind": "onjob", "from": "left-already", "scope": "some"}, "还没有选择客户"),
    ],
)
async def test_what_nobody_can_mean_is_answered_in_words(
    manager: Visitor, path: str, form: dict[str, str], says: str
) -> None:
    response = await manager.send(path, **form)
    assert response.status in (400, 422)
    assert says in await response.text()
