"""The original of a pushed message, as a manager may read it."""

import json
from urllib.parse import quote

import pytest

from scrm.commerce.hooks.masking import masked

PRIVATE = {
    "receiver_name": "林小满",
    "receiver_tel": "13800138000",
    "delivery_address": "文三路 1 号",
    "buyer": {"name": "林小满", "phone": "+86 138 0013 8000"},
    "email": "xiaoman@example.test",
    "remark": "请打 13800138000",
}
PLAIN = json.dumps({"tid": "E1", "title": "桂花乌龙", "name": "#1001", **PRIVATE}, ensure_ascii=False)


@pytest.mark.parametrize(
    "body",
    [
        PLAIN,
        json.dumps({"type": "t", "msg": quote(PLAIN)}),
        json.dumps([{"tag": "101", "data": PLAIN}]),
        json.dumps({"msg": json.dumps({"data": PLAIN})}),
    ],
)
def test_private_values_are_covered_however_deep_and_numbers_of_orders_stay(body: str) -> None:
    shown = masked(body.encode())
    for private in ("林小满", "13800138000", "0013 8000", "文三路", "xiaoman"):
        assert private not in shown
    for plain in ("E1", "桂花乌龙", "#1001"):
        assert plain in shown


def test_what_is_no_json_is_shown_in_part_with_its_phones_covered() -> None:
    shown = masked(
        "<xml><Event>pay</Event><name>林小满</name> 13800138000 \udcff</xml>".encode("utf-8", "surrogateescape")
    )
    assert "13800138000" not in shown
    assert "林小满" not in shown
