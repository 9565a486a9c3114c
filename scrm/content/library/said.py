"""What a script says: its text and attachments, checked when they are written and filled when they are sent. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scrm.content import programs
from scrm.content.attachments import MEDIA_KINDS, LinkCard, chat_attachments, chat_media, media_name
from scrm.content.render import (
    CHAT_TEXT_CHARS,
    LINK_DESC_BYTES,
    LINK_TITLE_BYTES,
    MissingVariable,
    check,
    cut_bytes,
    render,
    variables_of,
)

MOST_TITLE = 40
MOST_ATTACHMENTS = 9
KINDS = {"image": "图片", "link": "链接", "miniprogram": "小程序", "radar": "雷达内容", "video": "视频", "file": "文件"}

_URL = re.compile(r"https?://\S+|\{\{")

Attachment = Mapping[str, Any]
# The address of a picture by its name in the media library; '' when there is none.
Address = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Said:
    """A title for members, a template, and attachments as authors write them: {"image": name}, {"link": {...}} ..."""

    title: str = ""
    text: str = ""
    attachments: tuple[dict[str, Any], ...] = ()

    @property
    def texts(self) -> list[str]:
        """Everything that a customer may read."""
        return [self.text, *(text for each in self.attachments for text in _templates(each))]


@dataclass(frozen=True, slots=True)
class Filled:
    """What goes to one customer: the text, and the chat messages of the attachments; or what is `missing`."""

    text: str = ""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    missing: str = ""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """One call of sendChatMessage each."""
        return [*([text_message(self.text)] if self.text else []), *self.attachments]


def text_message(text: str) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": text}}


# When it is written --------------------------------------------------------------------------------------------------


def problems_of(said: Said, media: Mapping[str, str], radar: Mapping[str, str]) -> list[str]:
    """What keeps it from being saved, one line each; `media` is kind by file name, `radar` title by key."""
    problems = []
    if not said.title:
        problems.append("请填写标题，员工按它查找")
    elif len(said.title) > MOST_TITLE:
        problems.append(f"标题有 {len(said.title)} 个字，最多 {MOST_TITLE} 个")
    if not said.text and not said.attachments:
        problems.append("请填写内容，或加一个附件")
    if len(said.text) > CHAT_TEXT_CHARS:
        problems.append(f"内容有 {len(said.text)} 个字，最多 {CHAT_TEXT_CHARS} 个")
    problems += [f"内容：{text}" for text in check(said.text)]
    if len(said.attachments) > MOST_ATTACHMENTS:
        problems.append(f"附件有 {len(said.attachments)} 个，最多 {MOST_ATTACHMENTS} 个")
    for number, each in enumerate(said.attachments, 1):
        problems += [f"第 {number} 个附件：{text}" for text in _problems(each, media, radar)]
    return problems


def _problems(each: Attachment, media: Mapping[str, str], radar: Mapping[str, str]) -> Iterator[str]:
    if name := media_name(each):
        kind = next(iter(each))
        if name not in media:
            yield f"素材库里没有“{name}”，请先上传"
        elif media[name] != kind:
            yield f"“{name}”是{MEDIA_KINDS.get(media[name], media[name])}，不能当{MEDIA_KINDS[kind]}发"
    elif "link" in each:
        yield from _link_problems(each["link"], media)
    elif "miniprogram" in each:
        yield from _program_problems(each["miniprogram"], media)
    elif "radar" in each:
        if each["radar"] not in radar:
            yield f"没有雷达内容“{each['radar']}”，可能已下架"
    else:
        yield f"不认识这种附件，可用的有{'、'.join(KINDS.values())}"


def _link_problems(link: Mapping[str, str], media: Mapping[str, str]) -> Iterator[str]:
    if not link.get("title"):
        yield "链接缺少标题"
    if not _URL.match(link.get("url", "")):
        yield "链接网址要以 http:// 或 https:// 开头"
    for key, title, most in (("title", "标题", LINK_TITLE_BYTES), ("desc", "描述", LINK_DESC_BYTES)):
        if len(link.get(key, "").encode()) > most:
            yield f"链接{title}太长，最多约 {most // 3} 个汉字"
    yield from _cover_problems(link, media)
    for text in link.values():
        yield from check(text)


def _program_problems(program: Mapping[str, str], media: Mapping[str, str]) -> Iterator[str]:
    if not program.get("title"):
        yield "小程序缺少标题"
    elif len(program["title"].encode()) > programs.TITLE_BYTES:
        yield f"小程序标题太长，最多约 {programs.TITLE_BYTES // 3} 个汉字"
    if not programs.APPID.fullmatch(program.get("appid", "")):
        yield "小程序 AppID 应以 wx 开头，共 18 位，可在小程序后台的开发设置里复制"
    if not programs.PAGE.fullmatch(program.get("page", "")):
        yield "小程序页面路径要以 .html 结尾，例如 pages/goods/detail.html?id=12"
    if not program.get("picture") and not program.get("picurl"):
        yield "小程序缺少封面图，请从素材库选一张"
    yield from _cover_problems(program, media)
    for text in program.values():
        yield from check(text)


def _cover_problems(card: Mapping[str, str], media: Mapping[str, str]) -> Iterator[str]:
    if card.get("picurl") and not _URL.match(card["picurl"]):
        yield "封面网址要以 http:// 或 https:// 开头"
    if card.get("picture") and media.get(card["picture"]) != "image":
        yield f"素材库里没有图片“{card['picture']}”，请先上传"


def media_names(attachments: Sequence[Attachment]) -> set[str]:
    """The files it takes: attachments themselves, and covers."""
    covers = {card.get("picture", "") for each in attachments for card in _cards(each)}
    return ({media_name(each) for each in attachments} | covers) - {""}


def radar_keys(attachments: Sequence[Attachment]) -> set[str]:
    return {str(each["radar"]) for each in attachments if "radar" in each}


# When it is sent -----------------------------------------------------------------------------------------------------


def fill(said: Said, values: Mapping[str, Any], address: Address, radar: Mapping[str, LinkCard]) -> Filled:
    """What goes to this customer; `missing` says what we do not know of them, and then nothing can be sent."""
    try:
        attachments = [_message(each, values, address, radar) for each in said.attachments]
        return Filled(render(said.text, values)[:CHAT_TEXT_CHARS], [each for each in attachments if each])
    except MissingVariable as error:
        return Filled(missing=str(error))


def _message(
    each: Attachment, values: Mapping[str, Any], address: Address, radar: Mapping[str, LinkCard]
) -> dict[str, Any]:
    """Empty for what is no longer there, such as radar content that was taken down."""
    if name := media_name(each):
        # WeCom's id of a file lives three days: it is put in at the tap.
        return {"msgtype": next(iter(each)), "name": name}
    if "radar" in each:
        return next(iter(chat_attachments([radar[each["radar"]]])), {}) if each["radar"] in radar else {}
    ((kind, card),) = each.items()
    filled = {key: render(str(text), values) for key, text in card.items() if text}
    picture = address(filled.pop("picture", "")) or filled.get("picurl", "")
    if kind == "link":
        return chat_attachments([LinkCard(filled["title"], filled["url"], filled.get("desc", ""), picture)])[0]
    program = {"appid": filled["appid"], "title": cut_bytes(filled["title"], programs.TITLE_BYTES)}
    return {"msgtype": kind, kind: {**program, "imgUrl": picture, "page": filled["page"]}}


def with_media(messages: Sequence[Mapping[str, Any]], media_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The messages with WeCom's id in place of each file's name."""
    return [
        chat_media(str(each["msgtype"]), media_ids[each["name"]]) if "name" in each else dict(each) for each in messages
    ]


def variables_in(said: Said) -> set[str]:
    return set().union(*(variables_of(text) for text in said.texts))


def give_back(text: str, said: Said, values: Mapping[str, Any]) -> str:
    """A text that was filled for one customer as a template again: what the script took from them is a variable."""
    known = {key: str(values.get(key) or "").strip() for key in variables_in(said)}
    for key, value in sorted(known.items(), key=lambda pair: -len(pair[1])):
        if len(value) > 1:
            text = text.replace(value, f"{{{{ {key} }}}}")
    return text


def _templates(each: Attachment) -> Iterator[str]:
    for card in _cards(each):
        yield from (str(text) for key, text in card.items() if key != "picture")


def _cards(each: Attachment) -> Iterator[Mapping[str, str]]:
    for kind in ("link", "miniprogram"):
        if kind in each:
            yield each[kind]
