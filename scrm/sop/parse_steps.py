"""What a playbook does, step by step."""

import re
from typing import Any

from scrm.content import render
from scrm.content.attachments import MAX_ATTACHMENTS, MEDIA_KINDS
from scrm.sop import timing
from scrm.sop.actions import ACTIONS, find_action, task
from scrm.sop.reading import KEY, KEY_RULE, Reader, is_none
from scrm.sop.schema import Channel, Content, Late, Step, When
from scrm.sop.source import Node

STEP_KEYS = ("id", "title", "at", "window", "channel", "if", "late", "ttl", "quiet", "content", "coupon", "do")
MAX_STEPS = 100
# Words of the format that later versions will know.
_LATER_KEYS = {"holdout": "对照组", "owner_role": "负责角色", "branch": "分支", "split": "分流", "wait": "等待"}
_LATER_STEP_KEYS = {**_LATER_KEYS, "form": "表单", "priority": "步骤优先级"}
_LATER_CHANNELS = {
    "M": "企业群发",
    "G": "客户群群发",
    "P": "朋友圈",
    "S": "侧边栏建议",
    "I": "内部通知",
    "K": "企微外渠道",
}
# Rewards for a certain kind of review are banned (网络反不正当竞争暂行规定, art. 9).
_BANNED_WORDS = ("好评返现", "好评返", "五星好评", "5星好评", "改评", "删评", "改差评", "删差评", "晒图返现")
_TASK_REQUIRED = {"late": "错过时间怎么办，defer（推迟）或 drop（放弃）", "ttl": "员工多久不发就作废，例如 24h"}


class StepsReader(Reader):
    """Reads steps and what they say and do."""

    def steps(self, node: Node) -> tuple[Step, ...]:
        nodes = self.sequence(node, "steps")
        if len(nodes) > MAX_STEPS:
            self.note(node.line, f"有 {len(nodes)} 步，最多 {MAX_STEPS} 步")
        steps: list[Step] = []
        for number, part in enumerate(nodes[:MAX_STEPS], 1):
            step = self.step(part, number)
            if step is not None:
                if any(other.id == step.id for other in steps):
                    self.note(step.line, f"步骤 id“{step.id}”用了两次，请换一个")
                steps.append(step)
        return tuple(steps)

    def step(self, node: Node, number: int) -> Step | None:
        parts = self.mapping(node, f"第 {number} 步", STEP_KEYS, _LATER_STEP_KEYS)
        missing = [key for key in ("id", "at", "channel") if key not in parts]
        if missing:
            # What is not supported yet has been said already.
            if isinstance(node.value, dict) and not any(key in _LATER_STEP_KEYS for key in node.value):
                self.note(node.line, f"第 {number} 步缺少 {'、'.join(missing)}")
            return None
        step_id = self.text(parts["id"], "id", KEY, KEY_RULE)
        channel = self.choice(parts["channel"], "channel", [each.value for each in Channel], _LATER_CHANNELS)
        when = self.when(parts)
        title = self.text(parts["title"], "title") if "title" in parts else ""
        step = Step(
            id=step_id,
            when=when,
            channel=Channel(channel),
            title=title or step_id,
            condition=self.condition(parts["if"]) if "if" in parts else None,
            late=Late(self.choice(parts["late"], "late", [each.value for each in Late]))
            if "late" in parts
            else Late.DEFER,
            ttl=self.read(parts["ttl"], "ttl", timing.parse_duration) if "ttl" in parts else None,
            content=self.content(parts),
            act=self.acts(parts["do"]) if "do" in parts else (),
            ignores_quiet="quiet" in parts and self.ignores_quiet(parts["quiet"]),
            line=node.line,
        )
        if parts["channel"].value == channel:
            self.check_step(step, parts)
        return step

    def when(self, parts: dict[str, Node]) -> When:
        when = self.read(parts["at"], "at", timing.parse_when)
        if when is None or "window" not in parts:
            return when or When()
        if when.window is not None:
            self.note(parts["window"].line, "时间段在 at 和 window 里各写了一个，请只留一个")
        window = self.read(parts["window"], "window", timing.parse_window)
        return When(when.offset, when.days, window)

    def ignores_quiet(self, node: Node) -> bool:
        if node.value != "inherit" and not is_none(node):
            self.note(node.line, "步骤的 quiet 只能是 inherit 或 none；别的静默时段请写在 guards 里")
        return is_none(node)

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
            if node.value not in self.known.contents:
                self.note(node.line, f"内容库里没有“{node.value}”，请把内容写在 content: {{text: …}} 里")
            return self.known.contents.get(node.value)
        parts = self.mapping(node, "content", ("text", "attachments"))
        text = self.text(parts["text"], "text", most=render.WELCOME_TEXT_BYTES) if "text" in parts else ""
        if "text" in parts:
            self.check_text(text, parts["text"].line)
        attachments = []
        if "attachments" in parts:
            attachments = [self.attachment(each) for each in self.sequence(parts["attachments"], "attachments")]
        if len(attachments) > MAX_ATTACHMENTS:
            self.note(parts["attachments"].line, f"附件有 {len(attachments)} 个，最多 {MAX_ATTACHMENTS} 个")
        return Content(text, tuple(each for each in attachments if each))

    def attachment(self, node: Node) -> dict[str, Any]:
        parts = self.mapping(node, "附件", ("coupon", "link", *MEDIA_KINDS), {"miniprogram": "小程序"})
        for key in ("coupon", *MEDIA_KINDS):
            if key in parts:
                return {key: self.text(parts[key], key)}
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

    def check_text(self, text: str, line: int) -> None:
        for problem in render.check(text):
            self.note(line, problem)
        for word in _BANNED_WORDS:
            if word in text:
                self.note(line, f"文字里有“{word}”：以利益换取指定评价是违规的，请改成邀请真实评价")
                break

    def acts(self, node: Node) -> tuple[dict[str, Any], ...]:
        names = [action.name for action in ACTIONS if action is not task]
        acts = []
        for part in self.sequence(node, "do"):
            for key, value in self.mapping(part, "do", names).items():
                action = find_action(key)
                if action is not None and (problem := action.problem(value.plain())):
                    self.note(value.line, problem)
                acts.append({key: value.plain()})
        return tuple(acts)

    def check_step(self, step: Step, parts: dict[str, Node]) -> None:
        line = parts["id"].line
        if step.channel is Channel.TASK:
            for key, why in _TASK_REQUIRED.items():
                if key not in parts:
                    self.note(line, f"步骤“{step.id}”要员工来发，缺少 {key}：{why}")
        if step.channel is Channel.SYSTEM:
            if not step.act and "do" not in parts:
                self.note(line, f"步骤“{step.id}”是系统动作，缺少 do：写明要做什么")
            if step.content is not None:
                self.note(line, f"步骤“{step.id}”是系统动作，不会对客户说话，请删掉 content")
        elif step.act:
            self.note(line, f"步骤“{step.id}”不是系统动作（X），请把 do 放到单独的一步里")
        elif step.content is None or not (step.content.text or step.content.attachments):
            self.note(line, f"步骤“{step.id}”缺少 content：写明要说什么")
        if step.channel is Channel.WELCOME and (step.when != When() or "late" in parts or "ttl" in parts):
            self.note(line, f"欢迎语“{step.id}”只能在 at: T0，不写 window、late、ttl：20 秒内不发就再也发不出")
