"""Which language a reader wants: their own choice, else that of WeCom's client, else what the browser asks for."""

import re
from collections.abc import Mapping

from web.texts import CHINESE, LANGUAGES

LANG_COOKIE = "lang"

# "Language/zh ColorScheme/Light wxwork/5.0.11": the language of the client, not of the device.
_OF_CLIENT = re.compile(r"\bLanguage/([A-Za-z]+)")


def language_of(headers: Mapping[str, str], cookies: Mapping[str, str], query: Mapping[str, str]) -> str:
    """One of LANGUAGES."""
    for chosen in (query.get("lang", ""), cookies.get(LANG_COOKIE, "")):
        if chosen in LANGUAGES:
            return chosen
    client = _OF_CLIENT.search(headers.get("User-Agent", ""))
    if client:
        return _KNOWN.get(client[1].lower(), CHINESE)
    return next(filter(None, map(_KNOWN.get, _asked_for(headers.get("Accept-Language", "")))), CHINESE)


def _asked_for(accepts: str) -> list[str]:
    """The languages of `en-US,en;q=0.9,zh;q=0.8`, the most wanted first."""
    found = [(float(weight or 1), tag.lower()) for tag, weight in _ACCEPTED.findall(accepts[:200])]
    return [tag for weight, tag in sorted(found, key=lambda each: -each[0]) if weight]


_ACCEPTED = re.compile(r"([A-Za-z]{1,8})(?:-[A-Za-z0-9]{1,8})*(?:;\s*q=([01](?:\.\d{1,3})?))?\s*(?:,|$)")
_KNOWN = {language.partition("-")[0]: language for language in LANGUAGES}
