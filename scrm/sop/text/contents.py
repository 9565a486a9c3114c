"""What a step says: texts, attachments, and variants of them that are tried against each other."""

import re
from typing import Any

from scrm.content import programs, render
from scrm.content.attachments import MAX_ATTACHMENTS, MEDIA_KINDS
from scrm.content.library.lint import find_bribe
from scrm.sop.life import library
from scrm.sop.schema import Content, Variant
from scrm.sop.text.reading import Reader, is_none, shown
from scrm.sop.text.source import Node

CONTENT_KEYS = ("text", "attachments", "variants")
VARIANT_KEYS = ("name", "share", "text", "attachments")
MAX_VARIANTS = 5
_PROGRAM = {"appid": "AppID，wx 开头", "title": "标题", "page": "页面路径", "picture": "封面，素材库里的图片名"}
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)%")


class ContentReader(Reader):
    """Reads what a step says."""

    def content(self, parts: dict[str, Node]) -> Content | None:
        said = self.inline(parts["content"]) if "content" in parts else None
        if "coupon" in parts:
            attachment = {"coupon": self.text(parts["coupon"], "coupon")}
            said = said or Content()
            if attachment not in said.attachments:
                said = Content(said.text, (*said.attachments, attachment))
        return said

    def inline(self, node: Node) -> Content | None:
        if isinstance(node.value, str) and not is_none(node):
            return self.script(node.value, node.line)
        parts = self.mapping(node, "content", CONTENT_KEYS)
        if "variants" in parts:
            if len(parts) > 1:
                self.note(node.line, "content 写了 variants，就不再写 text 和 attachments：请把它们写进每个版本里")
            return Content(variants=self.variants(parts["variants"]))
        return self.words(parts)

    def script(self, name: str, line: int) -> Content:
        """A script of the library, by `tpl.<key>`; what is not there is noted once, and stands for itself."""
        found = self.known.contents.get(name)
        if found is None:
            self.note(
                line,
                f"话术库里没有启用的“{name}”：到后台「素材与话术」给话术写上编号并启用，再写 tpl.编号；"
                "或把内容写在 content: {text: …} 里",
            )
            return Content(name)
        if why := library.why_unfit(found):
            self.note(line, f"话术“{name}”{why}")
        self.named[name] = found
        return found

    def words(self, parts: dict[str, Node]) -> Content:
        text = self.text(parts["text"], "text", most=render.WELCOME_TEXT_BYTES) if "text" in parts else ""
        if "text" in parts:
            self.check_text(text, parts["text"].line)
        attachments = []
        if "attachments" in parts:
            attachments = [self.attachment(each) for each in self.sequence(parts["attachments"], "attachments")]
        if len(attachments) > MAX_ATTACHMENTS:
            self.note(parts["attachments"].line, f"附件有 {len(attachments)} 个，最多 {MAX_ATTACHMENTS} 个")
        return Content(text, tuple(each for each in attachments if each))

    def variants(self, node: Node) -> tuple[Variant, ...]:
        variants: list[Variant] = []
        for number, each in enumerate(self.sequence(node, "variants"), 1):
            parts = self.mapping(each, f"第 {number} 个版本", VARIANT_KEYS)
            name = self.text(parts["name"], "name", most=20) if "name" in parts else "ABCDE"[min(number, 5) - 1]
            if "share" not in parts:
                self.note(each.line, f"版本“{name}”缺少 share：占多少人，例如 50%")
            share = self.share(parts["share"], "share") if "share" in parts else 0.0
            said = self.words(parts)
            if not said.text and not said.attachments:
                self.note(each.line, f"版本“{name}”没有内容：写 text 或 attachments")
            if any(other.name == name for other in variants):
                self.note(each.line, f"版本名“{name}”用了两次，请换一个")
            variants.append(Variant(name, share, said))
        if len(variants) > MAX_VARIANTS:
            self.note(node.line, f"有 {len(variants)} 个版本，最多 {MAX_VARIANTS} 个")
        self.check_shares(node.line, [variant.share for variant in variants], "各版本")
        return tuple(variants)

    def share(self, node: Node, what: str) -> float:
        """A part of 1, written as 50%."""
        found = _PERCENT.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
        if found is None or float(found[1]) > 100:
            self.note(node.line, f"{what} 要写成百分比，例如 50%，写的是“{shown(node)}”")
            return 0.0
        return float(found[1]) / 100

    def check_shares(self, line: int, shares: list[float], what: str) -> None:
        if shares and abs(sum(shares) - 1) > 1e-9:
            self.note(line, f"{what}的 share 加起来要等于 100%，现在是 {sum(shares) * 100:g}%")

    def attachment(self, node: Node) -> dict[str, Any]:
        parts = self.mapping(node, "附件", ("coupon", "link", programs.KIND, *MEDIA_KINDS))
        for key in ("coupon", *MEDIA_KINDS):
            if key in parts:
                return {key: self.text(parts[key], key)}
        if programs.KIND in parts:
            return {programs.KIND: self.program(parts[programs.KIND])}
        if "link" not in parts:
            return {}
        link = self.mapping(parts["link"], "link", ("title", "url", "desc", "picurl"))
        for key in ("title", "url"):
            if key not in link:
                self.note(parts["link"].line, f"link 缺少 {key}")
        texts = {key: self.text(part, key, most=2048) for key, part in link.items()}
        for key, limit in (("title", render.LINK_TITLE_BYTES), ("desc", render.LINK_DESC_BYTES)):
            if len(texts.get(key, "").encode()) > limit:
                self.note(
                    link[key].line, f"link 的 {key} 超过 {limit} 字节（约 {limit // 3} 个汉字），会被截断，请改短"
                )
        for key in ("url", "picurl"):
            if texts.get(key) and not re.match(r"https?://|\{\{", texts[key]):
                self.note(link[key].line, f"link 的 {key} 要以 http:// 或 https:// 开头")
        for key, text in texts.items():
            self.check_text(text, link[key].line)
        return {"link": texts}

    def program(self, node: Node) -> dict[str, str]:
        parts = self.mapping(node, programs.KIND, programs.KEYS)
        for key, title in _PROGRAM.items():
            if key not in parts:
                self.note(node.line, f"小程序（{programs.KIND}）缺少 {key}：{title}")
        texts = {key: self.text(part, key, most=1024) for key, part in parts.items()}
        if texts.get("appid") and not programs.APPID.fullmatch(texts["appid"]):
            self.note(
                parts["appid"].line, f"appid 写的是“{texts['appid']}”，应以 wx 开头，共 18 位，在小程序后台的开发设置里"
            )
        if texts.get("page") and not programs.PAGE.fullmatch(texts["page"]):
            self.note(parts["page"].line, f"page 写的是“{texts['page']}”，要以 .html 结尾，例如 pages/goods.html?id=12")
        if len(texts.get("title", "").encode()) > programs.TITLE_BYTES:
            self.note(parts["title"].line, f"小程序的 title 太长，最多约 {programs.TITLE_BYTES // 3} 个汉字")
        for key, text in texts.items():
            self.check_text(text, parts[key].line)
        return {key: texts.get(key, "") for key in programs.KEYS}

    def check_text(self, text: str, line: int) -> None:
        for problem in render.check(text):
            self.note(line, problem)
        if word := find_bribe(text):
            self.note(line, f"文字里有“{word}”：以利益换取指定评价是违规的，请改成邀请真实评价")
