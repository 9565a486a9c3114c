"""Channel codes, 联系我 (doc 92228)."""

from typing import Any

from scrm.wecom.calls import Calls, Json


class ContactWays:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add_contact_way(self, **fields: Any) -> Json:
        """`config_id` and `qr_code`; state <= 30 characters, at most 100 members (doc 92228)."""
        return await self._calls.post("externalcontact/add_contact_way", fields)
