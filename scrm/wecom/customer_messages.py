"""What customers receive: welcome messages, mass messages (docs 92137, 92135)."""

from scrm.wecom.calls import Calls, Json

WELCOME = "externalcontact/send_welcome_msg"


class CustomerMessages:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def send_welcome_msg(self, welcome_code: str, text: str, attachments: list[Json]) -> None:
        """Text <= 4000 bytes, <= 9 attachments; the code lives 20 s and works once (doc 92137).

        One try: what to do after 41051, 41096, 41050 or a time-out is the caller's to decide.
        """
        body: Json = {"welcome_code": welcome_code}
        if text:
            body["text"] = {"content": text}
        if attachments:
            body["attachments"] = attachments
        await self._calls.post(WELCOME, body)
