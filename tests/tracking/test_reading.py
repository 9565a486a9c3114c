"""Whatever a page posts is read or refused, never a crash, and what is kept can be kept."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scrm.db.vault import Vault
from scrm.errors import Invalid
from scrm.tracking import names, reading

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
VAULT = Vault("a key of more than thirty-two characters")
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("13800138001"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("name", "occurred_at", "sent_at", "event_id", "anonymous_id", "identities", "props", "items", "sku", "qty")
EVENT = st.fixed_dictionaries({"name": st.sampled_from([*names.NAMES, "add_to_cart", "x y"]) | ANY}) | st.dictionaries(
    st.sampled_from(KEYS), ANY
)
BODY = st.fixed_dictionaries(
    {"events": st.lists(EVENT | ANY, max_size=3) | ANY},
    optional={"sent_at": ANY, "anonymous_id": ANY, "identities": ANY, "consent": ANY},
)


@given(BODY, st.booleans())
def test_any_body_is_read_or_refused(body: dict[str, Any], is_trusted: bool) -> None:
    try:
        batch = reading.read_batch(body, now=NOW, vault=VAULT, is_trusted=is_trusted)
    except Invalid:
        return
    for told in batch.events:
        written = json.dumps(told.facts, allow_nan=False, ensure_ascii=False)
        written.encode()
        assert "13800138001" not in written
        assert "\\u0000" not in written
        assert told.occurred_at <= NOW
        assert len(told.name) <= 48
        assert len(told.event_id) <= 64
    for claim in (*batch.claims, *(claim for told in batch.events for claim in told.claims)):
        assert is_trusted or claim.kind in ("wx_unionid", "wx_openid", "oa_openid", "wecom_external_userid")
        assert len(claim.value) <= 128
