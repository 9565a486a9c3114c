"""WeCom's side of transfers, written apart from the sandbox: who goes to whom, and how that ended."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.fakes.wecom import FakeWeCom

Json = dict[str, Any]
DAY = timedelta(hours=24)


class FakeTransfers:
    """Put before a FakeWeCom: `status` is what transfer_result says of a customer, `refused` the errcodes of rows."""

    def __init__(self, wecom: FakeWeCom, now: Callable[[], datetime]) -> None:
        self._now = now
        self.asked: list[Json] = []
        self.refused: dict[str, int] = {}
        self.records: dict[tuple[str, str, str], Json] = {}  # (giver, taker, contact): row of transfer_result
        self.page = 1000
        for prefix in ("externalcontact/", "externalcontact/resigned/"):
            wecom.always(f"{prefix}transfer_customer", self._transfer)
            wecom.always(f"{prefix}transfer_result", self._result)

    def settle(self, external_userid: str, status: int) -> None:
        for (_, _, contact), row in self.records.items():
            if contact == external_userid:
                row |= {"status": status, "takeover_time": int(self._now().timestamp()) if status == 1 else 0}

    def _transfer(self, body: Json) -> Json:
        self.asked.append(body)
        rows = []
        assert len(body["external_userid"]) <= 100
        for contact in body["external_userid"]:
            key = (body["handover_userid"], body["takeover_userid"], contact)
            errcode = self.refused.get(contact, 40129 if key in self.records else 0)
            if not errcode:
                planned = int((self._now() + DAY).timestamp())
                self.records[key] = {"external_userid": contact, "status": 2, "takeover_time": planned}
            rows.append({"external_userid": contact, "errcode": errcode})
        return {"errcode": 0, "errmsg": "ok", "customer": rows}

    def _result(self, body: Json) -> Json:
        pair = (body["handover_userid"], body["takeover_userid"])
        rows = [row for key, row in self.records.items() if key[:2] == pair]
        start = int(body.get("cursor") or 0)
        more = start + self.page < len(rows)
        return {
            "errcode": 0,
            "errmsg": "ok",
            "customer": rows[start : start + self.page],
            "next_cursor": str(start + self.page) if more else "",
        }
