"""Which language a reader wants: their own choice, else what WeCom's client says, else what the browser accepts."""

import re
from collections.abc import Mapping

from web.texts import CHINESE, LANGUAGES

LANG_COOKIE = "lang"

# "Language/zh ColorScheme/Light wxwork/5.0.11": the language of the client, not of the device.
_OF_CLIENT = re.compile(r"\bLanguage/([A-Za-z]+)")
_ACCEPTED = re.compile(r"([A-Za-z]+)[\w-]*(?:\s*;\s*q\s*=\s*(\d(?:\.\d+)?))?")


def language_of(headers: Mapping[str, str], cookies: Mapping[str, str], query: Mapping[str, str]) -> str:
    """One of LANGUAGES."""
    for chosen in (query.get("lang", ""), cookies.get(LANG_COOKIE, "")):
        if chosen in LANGUAGES:
            return chosen
    client = _OF_CLIENT.search(headers.get("User-Agent", ""))
    wanted = [client[1]] if client else _by_preference(headers.get("Accept-Language", ""))
    return next((_KNOWN[name.lower()] for name in wanted if name.lower() in _KNOWN), CHINESE)


_KNOWN = {language.partition("-")[0]: language for language in LANGUAGES}


def _by_preference(accepted: str) -> list[str]:
    """The names in "zh-CN,zh;q=0.9,en;q=0.8", the dearest first."""
    found = [(float(weight or 1), name) for name, weight in _ACCEPTED.findall(accepted)]
    return [name for weight, name in sorted(found, key=lambda each: -each[0]) if weight > 0]
