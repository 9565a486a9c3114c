"""Which engines can run what web/build.py makes: Chromium 80, Safari 14.1 (iOS 14.5) and later."""

import re

_CHROME = re.compile(r"\bChrome/(\d+)")
_IOS = re.compile(r"\b(?:iPhone )?OS (\d+)_(\d+)")
OLDEST_CHROME = 80
OLDEST_IOS = (14, 5)


def is_too_old(user_agent: str) -> bool:
    """Whether the engine is known to be older; of a Mac's web view the user agent tells nothing."""
    if chrome := _CHROME.search(user_agent):
        return int(chrome[1]) < OLDEST_CHROME
    if "Mac OS X 10_" not in user_agent and (ios := _IOS.search(user_agent)):
        return (int(ios[1]), int(ios[2])) < OLDEST_IOS
    return False


def night(user_agent: str) -> str:
    """The media query under which a page is dark. Android's web view tells its style sheets nothing (doc 94555)."""
    if "ColorScheme/Dark" in user_agent:
        return "all"
    return (
        "not all" if "Android" in user_agent and "ColorScheme/Light" in user_agent else "(prefers-color-scheme: dark)"
    )
