"""App messages to members, their cards and how to take them back (docs 90236, 94888, 94867)."""

from collections.abc import Sequence

from scrm.wecom.calls import Calls, Json


class Messages:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def send_message(self, body: Json, *, duplicate_check: bool = False) -> Json:
        """An app message to members; `agentid` is filled in (doc 90236).

        With `duplicate_check` WeCom does not deliver the same request again for 30 minutes.
        """
        body = {"agentid": self._calls.agent_of("message/send"), **body}
        if duplicate_check:
            body |= {"enable_duplicate_check": 1, "duplicate_check_interval": 1800}
        return await self._calls.post("message/send", body)

    async def update_template_card(
        self, userids: Sequence[str], response_code: str, *, replace_name: str = "", card: Json | None = None
    ) -> list[str]:
        """Change a card: its buttons become one grey word, or it becomes `card` (doc 94888).

        The code comes with an event of the card or with its sending, lives 72 h and works once (60140). Returns the
        userids that WeCom does not know.
        """
        body: Json = {
            "userids": list(userids),
            "agentid": self._calls.agent_of("message/update_template_card"),
            "response_code": response_code,
        }
        body |= {"template_card": card} if card is not None else {"button": {"replace_name": replace_name}}
        answer = await self._calls.post("message/update_template_card", body)
        return [str(userid) for userid in answer.get("invaliduser") or ()]

    async def recall(self, msgid: str) -> None:
        """Take a message back within 24 h (42052); it stays in WeChat's plug-in (doc 94867)."""
        await self._calls.post("message/recall", {"msgid": msgid})
