"""The shop that the sidebar is measured in: a million persons, five million orders, what was said and sent to them."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from scrm.db.tables import to_millis
from scrm.sop.life import published as publishing
from scrm.sop.text.parse import parse_playbook

MEMBERS = 50
# Their own histories: 500 orders and 5,000 happenings.
LONG, LONG_ORDERS, LONG_EVENTS = 1, 500, 5_000
# Those from 2 on have at least twenty orders.
REGULARS = range(2, 1002)
# 32 bits are not enough for some weeks of it.
_DAY = "CAST(86400000 AS BIGINT)"

PLAYBOOK = """
playbook: bench
title: 新客七日
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: {flag: optout.promo}
goal: none
holdout: 0%
steps:
  - {id: ask, title: 问一句使用感受, at: T0+1h, channel: T, late: defer, ttl: 48h, content: {text: "用着还好吗？有不明白的随时问我。"}}
  - {id: later, title: 补货提醒, at: D+30, channel: T, late: defer, ttl: 24h, content: {text: 快用完了吧}}
"""

# {n} numbers the persons from 1 on, {k} a person's things from 0 on; a person has n % 11 orders, five on average.
_PERSONS = (
    "INSERT INTO person (id, name, stage, created_at) SELECT n, 'p' || n, '意向中', {now} FROM numbers",
    "INSERT INTO external_contact (external_userid, person_id, name, type, gender, unionid, created_at)"
    " SELECT 'wm' || (100000000 + n), n, '客户' || n, 1, n % 3, 'u' || n, {now} FROM numbers",
    "INSERT INTO follow_user (userid, external_userid, person_id, remark, add_way, followed_at)"
    " SELECT 'm' || (n % 50), 'wm' || (100000000 + n), n, '客户' || n || ' 油皮', 1, {now} - (n % 700) * {day}"
    " FROM numbers",
    "INSERT INTO follow_user (userid, external_userid, person_id, followed_at)"
    " SELECT 'm' || ((n + 1) % 50), 'wm' || (100000000 + n), n, {now} - (n % 300) * {day} FROM numbers WHERE n % 4 = 0",
    "INSERT INTO follow_user_tag (userid, external_userid, tag_id, group_name, tag_name)"
    " SELECT 'm' || (n % 50), 'wm' || (100000000 + n), 'et' || (k * 10 + n % 7), '肤质', '标签' || (k * 10 + n % 7)"
    " FROM numbers JOIN few ON k < n % 5",
    "INSERT INTO identity (person_id, kind, value, mask, source, created_at)"
    " SELECT n, 'mobile_e164', 'h' || (100000000 + n), '138****6620', 'order', {now} FROM numbers WHERE n % 2 = 0",
    "INSERT INTO person_stat (person_id, orders, paid_orders, paid_fen, refunded_fen, kept_orders, kept_fen,"
    " first_paid_at, last_paid_at, last_order_at, last_kept_at) SELECT n, n % 11, n % 11, (n % 11) * 12800, 0, n % 11,"
    " (n % 11) * 12800, {now} - 400 * {day}, {now} - (n % 60) * {day}, {now} - (n % 60) * {day}, {now} - (n % 60) * {day}"
    " FROM numbers WHERE n % 11 > 0",
    "INSERT INTO points_account (person_id, available, frozen, growth, level_key)"
    " SELECT n, n % 3000, n % 70, n % 5000, 'gold' FROM numbers WHERE n % 11 > 0",
)
_ORDERS = (
    "INSERT INTO orders (id, channel, shop_key, order_no, person_id, bound_by, status, aftersale_status, payable_fen,"
    " paid_fen, ordered_at, paid_at, shipped_at, delivered_at, first_seen_at, last_seen_at)"
    " SELECT CAST(n AS BIGINT) * 20 + k, 'tmall', 'main', 'S' || (CAST(n AS BIGINT) * 20 + k + 1000000000), n, 'phone',"
    " CASE WHEN k > 0 OR n % 10 > 3 THEN 'completed' WHEN n % 10 = 0 THEN 'pending_payment' WHEN n % 10 = 1 THEN 'paid'"
    " ELSE 'shipped' END, CASE WHEN (n + k) % 40 = 3 THEN 'open' ELSE 'none' END, 12800,"
    " CASE WHEN k = 0 AND n % 10 = 0 THEN 0 ELSE 12800 END, {now} - (k * 60 + n % 60) * {day} - 3600000,"
    " CASE WHEN k = 0 AND n % 10 = 0 THEN NULL ELSE {now} - (k * 60 + n % 60) * {day} END,"
    " {now} - (k * 60 + n % 60) * {day}, CASE WHEN k > 0 OR n % 10 > 3 THEN {now} - (k * 60 + n % 60) * {day} END,"
    " {now}, {now} FROM numbers JOIN few ON k < n % 11",
    "INSERT INTO order_line (order_id, line_key, position, platform_item_id, title, spec, qty, unit_price_fen, paid_fen)"
    " SELECT id, '1', 0, 'item1', '清透防晒乳 50ml', '自然色', 1, 12800, 12800 FROM orders",
    "INSERT INTO order_line (order_id, line_key, position, title, qty, is_gift)"
    " SELECT id, '2', 1, '洁面小样 15ml', 1, true FROM orders WHERE id % 2 = 0",
    "INSERT INTO shipment (order_id, carrier_code, tracking_no, carrier_name, shipped_at, state, state_at)"
    " SELECT id, 'SF', 'SF' || id, '顺丰速运', shipped_at, CASE WHEN delivered_at IS NULL THEN 'in_transit' ELSE 'delivered'"
    " END, coalesce(delivered_at, shipped_at) FROM orders WHERE status IN ('shipped', 'completed')",
    "INSERT INTO refund (order_id, refund_no, type, status, amount_fen, created_at)"
    " SELECT id, 'R' || id, 'return_refund', 'agreed', 12800, paid_at FROM orders WHERE aftersale_status = 'open'",
    # One customer of 500 orders.
    "INSERT INTO orders (id, channel, shop_key, order_no, person_id, bound_by, status, aftersale_status, payable_fen,"
    " paid_fen, ordered_at, paid_at, first_seen_at, last_seen_at) SELECT 900000000 + n, 'jd', 'main', 'L' || (10000 + n), 1,"
    " 'phone', 'completed', 'none', 9900, 9900, {now} - n * {day}, {now} - n * {day}, {now}, {now} FROM numbers"
    " WHERE n <= 500",
    "INSERT INTO order_line (order_id, line_key, title, spec, qty, unit_price_fen, paid_fen)"
    " SELECT id, '1', '面霜', '30g', 1, 9900, 9900 FROM orders WHERE id > 900000000",
    # Customers of twenty orders and more, two kinds of goods in each.
    "INSERT INTO orders (id, channel, shop_key, order_no, person_id, bound_by, status, aftersale_status, payable_fen,"
    " paid_fen, ordered_at, paid_at, first_seen_at, last_seen_at) SELECT 910000000 + n, 'jd', 'main', 'B' || (10000 + n),"
    " 2 + n % 1000, 'phone', 'completed', 'none', 9900, 9900, {now} - (n / 1000) * {day}, {now} - (n / 1000) * {day}, {now},"
    " {now} FROM numbers WHERE n <= 20000",
    "INSERT INTO order_line (order_id, line_key, title, spec, qty, unit_price_fen, paid_fen)"
    " SELECT o.id, 'k' || k, '面霜', '30g', 1, 4950, 4950 FROM orders AS o JOIN few ON k < 2 WHERE o.id > 910000000",
)
_SPOKEN = (
    "INSERT INTO event (name, person_id, external_userid, userid, facts, occurred_at, received_at)"
    " SELECT 'contact.added', n, 'wm' || (100000000 + n), 'm' || (n % 50), '{{}}', {now} - (n % 700) * {day}, {now}"
    " FROM numbers",
    'INSERT INTO event (name, person_id, facts, occurred_at, received_at) SELECT \'order.paid\', n, \'{{"channel": "tmall",'
    ' "title": "清透防晒乳 50ml", "paid_fen": 12800, "lines": 2}}\', {now} - (k * 60 + n % 60) * {day}, {now}'
    " FROM numbers JOIN few ON k < n % 11 WHERE k < 5",
    'INSERT INTO event (name, person_id, facts, occurred_at, received_at) SELECT \'task.sent\', n, \'{{"title": "问一句",'
    ' "playbook": "新客七日", "text": "用着还好吗？有不明白的随时问我。"}}\', {now} - (k * 9 + n % 40) * {day}, {now}'
    " FROM numbers JOIN few ON k < n % 4",
    # One customer with 5,000 happenings.
    "INSERT INTO event (name, person_id, facts, occurred_at, received_at) SELECT CASE WHEN n % 50 = 0 THEN 'order.paid'"
    " WHEN n % 7 = 0 THEN 'task.sent' ELSE 'product.viewed' END, 1, '{{\"title\": \"面霜\"}}', {now} - n * 3600000, {now}"
    " FROM numbers WHERE n <= 5000",
    "INSERT INTO send (kind, userid, external_userid, person_id, content, decided_at, sent_at, outcome)"
    " SELECT 'welcome', 'm' || (n % 50), 'wm' || (100000000 + n), n, '{{\"text\": \"你好，欢迎\"}}',"
    " {now} - (n % 700) * {day}, {now} - (n % 700) * {day}, 'sent' FROM numbers",
    "INSERT INTO send (kind, userid, external_userid, person_id, content, decided_at, sent_at, outcome)"
    ' SELECT \'chat\', \'m\' || (n % 50), \'wm\' || (100000000 + n), n, \'{{"messages": [{{"msgtype": "text", "text":'
    ' {{"content": "用着还好吗？有不明白的随时问我。"}}}}]}}\', {now} - (n % 20) * {day} - k * 3600000,'
    " {now} - (n % 20) * {day} - k * 3600000, 'sent' FROM numbers JOIN few ON k < n % 3",
    "INSERT INTO coupon_issue (batch_key, person_id, reason_key, code, token, issued_at, expires_at)"
    " SELECT 'new72h', n, 'bench:' || n, 'C' || (100000000 + n), 't' || (100000000 + n), {now} - {day},"
    " {now} + (n % 5) * {day} FROM numbers WHERE n % 2 = 0",
    "INSERT INTO enrolment (id, playbook_key, version, run_key, person_id, userid, external_userid, anchor_at, step, due_at,"
    " enrolled_at, priority) SELECT n, 'bench', 1, 'p' || n, n, 'm' || (n % 50), 'wm' || (100000000 + n), {now} - {day}, 1,"
    " {now} + 29 * {day}, {now} - {day}, 'P3' FROM numbers WHERE n % 4 = 0",
    "INSERT INTO step_run (id, enrolment_id, step_id, channel, state, intent_at)"
    " SELECT n, n, 'ask', 'T', 'waiting', {now} - 3600000 FROM numbers WHERE n % 4 = 0",
    "INSERT INTO task (id, step_run_id, enrolment_id, playbook_key, playbook_title, step_id, userid, external_userid,"
    " person_id, title, text, open_at, expires_at, reminder, created_at) SELECT n, n, n, 'bench', '新客七日', 'ask',"
    " 'm' || (n % 50), 'wm' || (100000000 + n), n, '问一句使用感受', '用着还好吗？有不明白的随时问我。', {now} - 3600000,"
    " {now} + 40 * {day}, 'sent', {now} - 3600000 FROM numbers WHERE n % 4 = 0",
)
_HOUSE = (
    "INSERT INTO member (userid, folded, name) SELECT 'm' || (n - 1), 'm' || (n - 1), '员工' || n FROM numbers WHERE n <= 50",
    "INSERT INTO member_level (key, title, benefits) VALUES ('gold', '金卡', '九五折')",
    "INSERT INTO coupon_batch (key, kind, title, face_fen, threshold_fen, created_at)"
    " VALUES ('new72h', 'generated', '新人券', 2000, 10000, {now})",
)


def contact_of(number: int) -> str:
    """The external_userid of a person, by number from 1 on."""
    return f"wm{100_000_000 + number}"


def member_of(number: int) -> str:
    """Who follows that person."""
    return f"m{number % MEMBERS}"


def fill(conn: Connection, persons: int, now: datetime | None = None) -> None:
    """Everything at once, in the order of the keys, as fast as the database takes it."""
    now = now or datetime.now(UTC)
    publishing.publish(conn, parse_playbook(PLAYBOOK, file_name="bench.yaml"), now=now)
    numbers = f"numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {persons})"
    few = "few(k) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT k + 1 FROM few WHERE k < 10)"
    if conn.dialect.name == "postgresql":
        numbers = f"numbers(n) AS (SELECT generate_series(CAST(1 AS BIGINT), {persons}))"
    for each in (*_HOUSE, *_PERSONS, *_ORDERS, *_SPOKEN):
        statement = each.format(now=to_millis(now), day=_DAY)
        into, select, rest = statement.partition(" SELECT ")
        filled = f"{into} WITH RECURSIVE {numbers}, {few} SELECT {rest}" if select else statement
        conn.exec_driver_sql(filled)
    conn.exec_driver_sql("ANALYZE")
