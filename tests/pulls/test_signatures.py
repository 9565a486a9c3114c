"""The signatures of calls, by the documents' own examples."""

from scrm.commerce.connectors import jushuitan, wangdiantong

HOUR = {"start_time": "2026-01-01 07:00:00", "end_time": "2026-01-01 08:00:00"}
OURS = {"sid": "demo_sid", "appkey": "demo_app", "timestamp": "1767225600", "page_no": "0", "page_size": "100", **HOUR}


def test_jushuitan_signs_the_sorted_fields_behind_the_secret() -> None:
    fields = {
        "app_key": "jst_demo",
        "access_token": "tok",
        "timestamp": "1767225600",
        "charset": "utf-8",
        "version": "2",
        "biz": '{"page_index":1,"page_size":50}',
    }
    assert jushuitan.sign("jst_secret", fields) == "08533f788b0d3f94e3787be80bea5e9b"
    assert jushuitan.sign("jst_secret", {**fields, "sign": "anything"}) == "08533f788b0d3f94e3787be80bea5e9b"


def test_wangdiantong_signs_lengths_with_values() -> None:
    published = {
        "appkey": "test2-xx",
        "sid": "test2",
        "page_no": "0",
        "page_size": "40",
        "start_time": "2016-08-01 12:00:00",
        "end_time": "2016-08-01 13:00:00",
        "timestamp": "1470042310",
    }
    assert wangdiantong.sign("12345", published) == "ad4e6fe037ea6e3ba4768317be9d1309"
    assert wangdiantong.sign("wdt_secret", OURS) == "242c66cbc64569a2748b6f2aaa98321e"
    chinese = {**OURS, "shop_name": "示例店"}
    assert wangdiantong.sign("wdt_secret", chinese) == "ec3b2cdfc9f6d68f263410256ea23a64"
    assert wangdiantong.sign("wdt_secret", chinese, length="bytes") == "4dff748fc8044e03d6fed0629dcf4a76"
