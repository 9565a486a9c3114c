"""Which language a reader wants: their own choice, else that of WeCom's client, else Chinese.

What the browser accepts does not count: it tells who set the machine up, and a shop's words are Chinese.
"""

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
    return _KNOWN.get(client[1].lower(), CHINESE) if client else CHINESE


_KNOWN = {language.partition("-")[0]: language for language in LANGUAGES}
