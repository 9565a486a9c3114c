"""Phone numbers as people and platforms write them, and which of them identify a person."""

import re

_SEPARATORS = re.compile(r"[\s\-()（）.\u00a0\u200b\t]")
_COUNTRY = re.compile(r"^(?:\+|00)?86(?=1[3-9]\d{9}$)")
_MOBILE = re.compile(r"1[3-9]\d{9}", re.ASCII)
_VIRTUAL = re.compile(r"^\s*(?:\+?86[-\s]?)?1\d{10}\s*(?:[-_,，;；]|转|ext\.?)\s*\d{1,6}\s*$", re.ASCII | re.IGNORECASE)
_MASKED = re.compile(r"[*•＊×]")


def normalise_phone(text: str) -> str | None:
    """`+86` and 11 digits for a real mainland mobile number, else None.

    Masked, virtual (with an extension), encrypted and fixed-line numbers are None: they name no person.
    """
    if len(text) == 11 and _MOBILE.fullmatch(text):
        return f"+86{text}"
    if not text or len(text) > 40 or _MASKED.search(text) or _VIRTUAL.match(text):
        return None
    digits = _COUNTRY.sub("", _SEPARATORS.sub("", text.strip().lstrip("'")))
    return f"+86{digits}" if _MOBILE.fullmatch(digits) else None


def is_masked(text: str) -> bool:
    """Whether stars, dots or a platform's ciphertext stand where the value should be."""
    if text.isalnum():
        return False
    return _MASKED.search(text) is not None or text.startswith(("##", "$$", "~"))


def is_virtual_phone(text: str) -> bool:
    """Whether it is a number with an extension that a platform lends for one order."""
    return bool(_VIRTUAL.match(text))


def mask_name(name: str) -> str:
    """张**: the first character stays, at most three stars follow."""
    name = name.strip()
    if not name or is_masked(name):
        return name
    return name[0] + "***"[: max(len(name) - 1, 1)]
