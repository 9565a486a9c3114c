"""The body of a callback as a manager may read it: codes, tokens, phones and what people wrote are covered."""

import re

# Elements whose value is a key to something, or somebody's own.
_COVERED = (
    "WelcomeCode", "ResponseCode", "Token", "ChatKey", "Mobile", "Telephone", "Email", "BizMail", "Address", "Content",
    "Latitude", "Longitude", "Location_X", "Location_Y", "Label", "Poiname", "PicUrl",
)  # fmt: skip
_ELEMENT = re.compile(rf"<({'|'.join(_COVERED)})>(<!\[CDATA\[)?(.+?)(\]\]>)?</\1>", re.DOTALL)
_PHONE = re.compile(r"(?<!\d)(1[3-9]\d)\d{4}(\d{4})(?!\d)")
_MOST = 20_000


def masked(body: bytes) -> str:
    """The text as it came, otherwise; bytes that are no text are shown as such, and at most 20,000 characters."""
    text = body.decode("utf-8", "backslashreplace")[:_MOST]
    text = _ELEMENT.sub(lambda found: f"<{found[1]}>{found[2] or ''}••••{found[4] or ''}</{found[1]}>", text)
    return _PHONE.sub(r"\1****\2", text)
