"""By what a script is found: every beginning of its title in Chinese, in full pinyin and in first letters. Pure."""

import unicodedata
from collections.abc import Iterator

# Longer than anybody types into a search.
MOST_LETTERS = 24
_SYLLABLE_MARKS = " '’"


def terms_of(title: str) -> set[str]:
    """All beginnings of one title: 「会员日」 is found by 会员日, 员日, huiyuanri, yuanri, hyr, yr ..."""
    spoken = list(_spoken(title))
    found: set[str] = set()
    for place in range(len(spoken)):
        rest = spoken[place:]
        for form in ("".join(each) for each in zip(*rest, strict=True)):
            found.add(form[:MOST_LETTERS])
    return found - {""}


def normalise(typed: str) -> str:
    """What somebody typed, as terms are kept: small letters, no spaces, half-width."""
    text = unicodedata.normalize("NFKC", typed).lower().replace("ü", "v")
    return "".join(letter for letter in text if not letter.isspace() and letter not in _SYLLABLE_MARKS)[:MOST_LETTERS]


def _spoken(title: str) -> Iterator[tuple[str, str, str]]:
    """Each character as (itself, its pinyin, its first letter); what has no pinyin stands for itself."""
    # The dictionary takes half a second to read: only who saves a script pays for it.
    from pypinyin import lazy_pinyin

    written = unicodedata.normalize("NFKC", title).lower()
    syllables = lazy_pinyin(written, errors=list)  # type: ignore[arg-type]  # what has no pinyin: letter by letter
    for letter, syllable in zip(written, syllables, strict=True):
        if not letter.isspace():
            sound = syllable.lower()
            yield letter, sound, sound[:1]
