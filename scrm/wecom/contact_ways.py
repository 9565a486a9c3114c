"""Channel codes, 联系我 (doc 92228)."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from scrm.wecom.calls import Calls, Json
from scrm.wecom.reading import read

SINGLE, MULTIPLE = 1, 2
BUTTON, QR = 1, 2
MOST_STATE_CHARACTERS = 30
MOST_REMARK_CHARACTERS = 30
MOST_MEMBERS = 100


class ContactWay(msgspec.Struct):
    """A code as WeCom keeps it; `party` are department ids, `type` 1 single 2 multiple, `scene` 1 button 2 QR."""

    config_id: str = ""
    type: int = MULTIPLE
    scene: int = QR
    remark: str = ""
    skip_verify: bool = True
    state: str = ""
    qr_code: str = ""
    user: list[str] = []
    party: list[int] = []
    is_temp: bool = False


class ContactWays:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add_contact_way(
        self,
        *,
        user: Sequence[str],
        party: Sequence[int] = (),
        state: str,
        remark: str = "",
        skip_verify: bool = True,
    ) -> ContactWay:
        """A QR code for several members; `config_id` and `qr_code` are filled, keep them at once: nothing lists them.

        state and remark <= 30 characters, at most 100 members with those of departments (41041); 41054 a member is not
        active, 41045 too many codes, 60011 a member out of range (doc 92228).
        """
        body: Json = {
            "type": MULTIPLE,
            "scene": QR,
            "remark": remark,
            "skip_verify": skip_verify,
            "state": state,
            "user": list(user),
            "party": list(party),
        }
        answer = await self._calls.post("externalcontact/add_contact_way", body)
        return ContactWay(
            config_id=str(answer["config_id"]),
            remark=remark,
            skip_verify=skip_verify,
            state=state,
            qr_code=str(answer.get("qr_code") or ""),
            user=list(user),
            party=list(party),
        )

    async def get_contact_way(self, config_id: str) -> ContactWay:
        """What WeCom keeps of a code; 41044 unknown config_id (doc 92228)."""
        answer = await self._calls.post("externalcontact/get_contact_way", {"config_id": config_id})
        return read(answer["contact_way"], ContactWay)

    async def list_contact_way(self, *, start_time: int = 0, end_time: int = 0) -> AsyncIterator[str]:
        """The config_ids of codes made through the API in a span of epoch seconds; 90 days up to now by default.

        Only codes made since 2021-07-10, no temporary ones (doc 92228).
        """
        body: Json = {"limit": 1000}
        if start_time:
            body["start_time"] = start_time
        if end_time:
            body["end_time"] = end_time
        async for page in self._calls.pages("externalcontact/list_contact_way", body, "contact_way"):
            for way in page.items:
                yield str(way["config_id"])

    async def update_contact_way(
        self,
        config_id: str,
        *,
        user: Sequence[str],
        party: Sequence[int] = (),
        skip_verify: bool,
        remark: str | None = None,
        state: str | None = None,
    ) -> None:
        """Who receives is overwritten as a whole; the picture stays the same (doc 92228)."""
        body: Json = {
            "config_id": config_id,
            "skip_verify": skip_verify,
            "user": list(user),
            "party": list(party),
        }
        if remark is not None:
            body["remark"] = remark
        if state is not None:
            body["state"] = state
        await self._calls.post("externalcontact/update_contact_way", body)

    async def del_contact_way(self, config_id: str) -> None:
        """Scanning the code then says that it is gone; 41044 it is gone already (doc 92228)."""
        await self._calls.post("externalcontact/del_contact_way", {"config_id": config_id})
