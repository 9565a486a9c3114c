"""What may not be said to customers, and what had better not be: words of the shop's list, rewards for reviews. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from scrm.content import render

# Rewards for a certain kind of review are banned (网络反不正当竞争暂行规定, art. 9).
REVIEW_BRIBES = ("好评返现", "好评返", "五星好评", "5星好评", "改评", "删评", "改差评", "删差评", "晒图返现")
_REWARDED_REVIEW = re.compile(
    r"(?:好评|五星|5\s*星|晒图|晒单|追评)[^。！？!?\n]{0,10}?(?:返\s*\d|返现|红包|现金|免单|立减|奖励|送|领取?)"
)
# The list a shop begins with: what platforms and the law on advertising take offence at.
BANNED = ("刷单", "返现群", "加我私人微信", "转账到个人", "包治", "根治", "保证治愈", "国家级", "最高级")
DOUBTFUL = (
    "最佳", "最低价", "全网最低", "史上最低", "第一品牌", "销量第一", "顶级", "极品", "绝对", "永久", "100%有效",
    "医用级", "药妆", "速效", "无副作用", "假一赔命", "仅此一次",
)  # fmt: skip
MOST_WORDS = 2000
MOST_WORD = 30
# Marks that people put between the letters of a word they know they should not write.
_MARKS = r"[\s.·•*_+\-~|/]"
_BETWEEN = re.compile(_MARKS + "+")


@dataclass(frozen=True, slots=True)
class Words:
    """The shop's lists: what cannot be saved, and what is pointed out."""

    banned: tuple[str, ...] = BANNED
    doubtful: tuple[str, ...] = DOUBTFUL


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong in words, and the word it is about; what `blocks` has to be mended first."""

    text: str
    blocks: bool
    word: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text; `found` is what is wrong with it, if anything."""

    text: str
    found: Found | None = None


def find(texts: Iterable[str], words: Words) -> list[Found]:
    """Everything that somebody should look at before these texts go out; what blocks comes first."""
    said = "\n".join(texts)
    plain = _plain(said)
    found = [Found(f"文字里有“{word}”：以利益换取指定评价是违规的，请改掉", True, word) for word in _bribes(plain)]
    found += [
        Found(f"文字里有敏感词“{word}”，请改掉", True, word)
        for word in words.banned
        if _plain(word) and _plain(word) in plain
    ]
    if not any(each.blocks for each in found) and (offer := _REWARDED_REVIEW.search(said)):
        text = "看起来像用好处换好评：可以邀请真实评价，不要和返现、红包、赠品放在一起"
        found.append(Found(text, False, offer.group()))
    found += [
        Found(f"“{word}”容易被认定为违规宣传，建议换个说法", False, word)
        for word in words.doubtful
        if _plain(word) and _plain(word) in plain
    ]
    return found


def pieces(text: str, found: Iterable[Found]) -> list[Piece]:
    """The text cut where words stand that were found, marks between their letters included; nothing is left out."""
    by_word = {_plain(each.word): each for each in reversed(list(found)) if _plain(each.word)}
    if not by_word:
        return [Piece(text)] if text else []
    longest_first = sorted(by_word, key=len, reverse=True)
    spelled = "|".join((_MARKS + "*").join(map(re.escape, word)) for word in longest_first)
    cut = re.split(f"({spelled})", text, flags=re.IGNORECASE)
    return [Piece(part, by_word.get(_plain(part)) if index % 2 else None) for index, part in enumerate(cut) if part]


def find_bribe(text: str) -> str:
    """The first word that offers something for a certain review; empty when there is none."""
    return next((word for word in REVIEW_BRIBES if word in text), "")


def blocking(texts: Iterable[str], words: Words) -> str:
    """The first thing that keeps the texts from going out, in words; empty when nothing does."""
    return next((each.text for each in find(texts, words) if each.blocks), "")


def problems_of(text: str) -> list[str]:
    """What is wrong with a template: unknown variables, forms that cannot be filled."""
    return render.check(text)


def read_words(written: str) -> tuple[str, ...]:
    """One word a line, or several with commas between them; each once."""
    parts = (part.strip() for part in re.split(r"[\n,，、;；]+", written))
    return tuple(dict.fromkeys(part[:MOST_WORD] for part in parts if part))[:MOST_WORDS]


def _bribes(plain: str) -> list[str]:
    return [word] if (word := find_bribe(plain)) else []


def _plain(text: str) -> str:
    return _BETWEEN.sub("", text.lower())
