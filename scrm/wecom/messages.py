"""App messages to members (doc 90236)."""

from scrm.wecom.calls import Calls, Json


class Messages:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def send_message(self, body: Json, *, duplicate_check: bool = False) -> Json:
        """An app message to members; `agentid` is filled in (doc 90236).

        With `duplicate_check` WeCom does not deliver the same request again for 30 minutes.
        """
        body = {"agentid": self._calls.app.agent_id, **body}
        if duplicate_check:
            body |= {"enable_duplicate_check": 1, "duplicate_check_interval": 1800}
        return await self._calls.post("message/send", body)
