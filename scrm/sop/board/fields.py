"""What each control of the panel says, as edits below its part: one reader for each field. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import time
from typing import Any

import yaml

from scrm.content import programs
from scrm.errors import Invalid
from scrm.profiles.conditions.tree import EVENTS, OWN_EVENT
from scrm.sop import run_keys
from scrm.sop.actions import find_action
from scrm.sop.board import asking, conditions, trials
from scrm.sop.board.model import read_path
from scrm.sop.board.said import DROP, Said
from scrm.sop.board.spots import Path, value_at
from scrm.sop.calendar import dates, schedules
from scrm.sop.schema import Window
from scrm.sop.text.contents import MAX_VARIANTS
from scrm.sop.text.source import SourceError, read_source
from scrm.sop.triggers import find_trigger

Edit = tuple[Path, Any]
Reader = Callable[[Said, Mapping[str, Any]], list[Edit]]

_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_PERCENT = re.compile(r"\d{1,3}(\.\d{1,2})?")


def write_window(window: Window) -> str:
    end = "24:00" if window.end == time() else f"{window.end:%H:%M}"
    return f"{window.start:%H:%M}-{end}"


def _plain(key: str, title: str, *, required: bool = False) -> Reader:
    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        text = said.one(key)
        if not text and required:
            raise Invalid(f"{title}不能空着")
        return [((key,), text or DROP)]

    return read


def _whole(path: Path, name: str, title: str, most: int = 10**6) -> Reader:
    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        number = said.number(name, least=1, most=most, title=title)
        return [(path, DROP if number is None else number)]

    return read


def _span(path: Path, name: str, title: str) -> Reader:
    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        return [(path, said.duration(name, title) or DROP)]

    return read


def _unless(path: Path, name: str, usual: str) -> Reader:
    """A choice that is not written when it is the usual one."""

    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        value = said.one(name)
        return [(path, DROP if value in ("", usual) else value)]

    return read


def _condition(path: Path, prefix: str, *, when_empty: Any = DROP) -> Reader:
    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        tree = conditions.read_tree(said, prefix)
        return [(path, when_empty if tree is None else tree)]

    return read


def _percent(path: Path, name: str, title: str) -> Reader:
    def read(said: Said, data: Mapping[str, Any]) -> list[Edit]:
        text = said.one(name).removesuffix("%").strip()
        if text and (not _PERCENT.fullmatch(text) or float(text) > 100):
            raise Invalid(f"{title}要写 0 到 100 的数，写的是“{text[:20]}”")
        return [(path, f"{text}%" if text else DROP)]

    return read


# Times ----------------------------------------------------------------------------------------------------------------


def _when(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """`when.mode`: now, after or before (clock), day or workday (calendar); the window stands beside or alone."""
    mode, number = said.one("when.mode"), said.number("when.number", least=0, most=3650, title="时间")
    unit = said.one("when.unit") if said.one("when.unit") in ("m", "h", "d") else "m"
    window = _window(said, "when")
    match mode:
        case "now":
            at = "T0"
        case "after" | "before":
            at = f"T0{'+' if mode == 'after' else '-'}{number}{unit}" if number else "T0"
        case "ahead":
            at = f"D-{number or 1}"
        case _:
            at = f"{'W' if mode == 'workday' else 'D'}{'-' if mode == 'workday' and said.one('when.sign') == '-' else '+'}{number or 0}"
    if at.startswith("T0") or isinstance(data.get("window"), str):
        return [(("at",), at), (("window",), window or DROP)]
    return [(("at",), f"{at} {window}".strip())]


def _window(said: Said, name: str) -> str:
    """`10:00-11:30` from two controls; raises Invalid when only one is filled."""
    start, end = (said.one(f"{name}.{part}").replace("：", ":") for part in ("from", "to"))
    if not start and not end:
        return ""
    if not _CLOCK.fullmatch(start) or not _CLOCK.fullmatch(end):
        raise Invalid("时间段要写开始和结束，例如 10:00 到 11:30；不限时间就两个都空着")
    if end == "00:00":
        end = "24:00"
    if start == end:
        raise Invalid(f"时间段的开始和结束都是 {start}，里面没有时间")
    return f"{start}-{end}"


def _only(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    only = said.one("only")
    return [(("only",), only if only in ("workdays", "restdays") else DROP)]


# What is said ---------------------------------------------------------------------------------------------------------


def _text(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """`item`: content, or content/variants/1."""
    home, text = _item(said, "content"), said.text("text")
    if isinstance(data.get("content"), str):
        return [(("content",), {"text": _tall(text)})]
    return [((*home, "text"), _tall(text) if text else DROP)]


def _script(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """A script of the library says it; with none it is said here again."""
    name = said.one("script")
    return [(("content",), name if name else {"text": said.text("script.text") or "写在这里"})]


def _tall(text: str) -> str:
    return text + "\n" if "\n" in text else text


def _item(said: Said, *allowed: str) -> Path:
    item = read_path(said.one("item"))
    if not item or item[0] not in allowed:
        raise Invalid("画板不认识这一项，请刷新页面再试")
    return item


def _share(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """The share of a variant; of two, the other one gets the rest."""
    home = _item(said, "content")
    edits = _percent((*home, "share"), "share", "占比")(said, data)
    variants = value_at(data, home[:-1])
    share = edits[0][1]
    if len(variants) == 2 and isinstance(share, str):
        edits.append(((*home[:-1], 1 - int(home[-1]), "share"), f"{100 - float(share[:-1]):g}%"))
    return edits


def _variant_name(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return [((*_item(said, "content"), "name"), said.one("name") or DROP)]


def _add_variant(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """The one content becomes the first of two; of several there is one more."""
    content = data.get("content")
    said_now = dict(content) if isinstance(content, Mapping) else {}
    variants = said_now.get("variants")
    if not isinstance(variants, list):
        first = {"name": "A", "share": "50%", **said_now}
        return [(("content",), {"variants": [first, {"name": "B", "share": "50%", "text": said_now.get("text", "")}]})]
    if len(variants) >= MAX_VARIANTS:
        raise Invalid(f"最多 {MAX_VARIANTS} 个版本")
    names = {str(each.get("name", "")) for each in variants}
    name = next(each for each in "ABCDEFGHIJ" if each not in names)
    added = [*variants, {"name": name, "share": "0%", "text": variants[-1].get("text", "")}]
    shares = _fair(len(added))
    return [(("content", "variants"), [{**each, "share": share} for each, share in zip(added, shares, strict=True)])]


def _fair(count: int) -> list[str]:
    return [f"{100 // count + (1 if number < 100 % count else 0)}%" for number in range(count)]


def settled_variants(at: Path, content: Any) -> list[Edit]:
    """After one has gone: the last is the content itself, several share fairly."""
    variants = content.get("variants") if isinstance(content, Mapping) else None
    if not isinstance(variants, list):
        return []
    if len(variants) == 1:
        return [((*at, "content"), {key: variants[0][key] for key in ("text", "attachments") if key in variants[0]})]
    return [((*at, "content", "variants", number, "share"), share) for number, share in enumerate(_fair(len(variants)))]


def _add_attachment(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    home, kind = _item(said, "content"), said.one("kind")
    if isinstance(data.get("content"), str):
        raise Invalid("这一步用的是内容库里的话术，附件也在那里改")
    return [((*home, "attachments", "+"), _attachment(kind, said))]


def _attachment(kind: str, said: Said) -> dict[str, Any]:
    if kind == "link":
        given = {key: said.one(f"link.{key}") for key in ("title", "url", "desc", "picurl")}
        return {"link": {key: text for key, text in given.items() if text} or {"title": "标题", "url": "https://"}}
    if kind == programs.KIND:
        given = {key: said.one(f"program.{key}") for key in programs.KEYS}
        return {kind: {key: text for key, text in given.items() if text} or {"title": "标题"}}
    value = said.one("value")
    if not value:
        raise Invalid("请选择优惠券" if kind == "coupon" else "请选择素材；素材库里没有就先上传")
    return {kind: value}


def _attached(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """What an attachment is now; `item` is its own place."""
    return [(_item(said, "content"), _attachment(said.one("kind"), said))]


# What is done ---------------------------------------------------------------------------------------------------------


def _act_value(name: str, said: Said) -> Any:
    """As the action's module reads it: a name or several, a number, fields with values."""
    listed = said.listed("value")
    match name:
        case "points":
            number = said.one("value")
            if not re.fullmatch(r"-?\d{1,9}", number):
                raise Invalid(f"积分要写整数，扣减用负数，写的是“{number[:20]}”")
            return int(number)
        case "set":
            key = said.one("key") or "stage"
            return {key: said.one("value")}
        case "issue_coupon":
            return said.one("value")
    return listed[0] if len(listed) == 1 else listed


def _acted(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """What the panel does not show of the same line, further fields or another action, stays as it was."""
    home, name = _item(said, "do"), said.one("act")
    begun, value = dict(value_at(data, home)), _checked_act(name, said)
    if name == "set" and isinstance(begun.get("set"), Mapping):
        value |= {key: kept for key, kept in list(begun["set"].items())[1:] if key not in value}
    return [(home, begun | {name: value})]


def _add_act(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    name = said.one("act")
    begun = {
        "add_tag": "待跟进", "remove_tag": "待跟进", "set": {"stage": "潜客"}, "points": 10, "stop_playbook": "all",
    }  # fmt: skip
    value = begun.get(name) if not said.one("value") and name in begun else _checked_act(name, said)
    return [(("do", "+"), {name: value})]


def _checked_act(name: str, said: Said) -> Any:
    action = find_action(name)
    if action is None:
        raise Invalid("请选择要做的动作")
    value = _act_value(name, said)
    if problem := action.problem(value):
        raise Invalid(problem)
    return value


def _notify(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    whom = said.one("notify")
    if whom == "named":
        userids = said.listed("notify.userids")
        if not userids:
            raise Invalid("请写要通知的员工账号")
        return [(("notify",), userids)]
    return [(("notify",), {"role": whom} if whom == "administrator" else whom or "owner")]


def _outward(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    where = said.one("outward")
    key = "url" if where.startswith("http") else "to"
    return [(("to",), DROP), (("url",), DROP), ((key,), where or DROP)]


def _form(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return [(("form",), said.listed("form") or DROP)]


def _data(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    text = said.text("data")
    if not text:
        return [(("data",), DROP)]
    try:
        read = read_source(text).plain()
    except (SourceError, yaml.YAMLError):
        read = None
    if not isinstance(read, dict):
        raise Invalid("参数每行写一个“名称: 值”，例如 template: SMS_123")
    return [(("data",), read)]


# Waits and arms -------------------------------------------------------------------------------------------------------


def _wait_for(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """An event, or time alone."""
    event, length = said.one("wait.event"), said.duration("wait.timeout", "最多等") or "3d"
    if not event:
        over = data.get("on_timeout")
        gone: list[Edit] = [((key,), DROP) for key in ("event", "where", "timeout", "then") if key in data]
        gone += [(("on_timeout",), DROP)] if not isinstance(over, list) else []
        return [*gone, (("for",), length)]
    edits: list[Edit] = [(("event",), _event(event)), (("timeout",), length), (("for",), DROP)]
    if data.get("event") != event:
        edits.append((("where",), DROP))
    return edits if "on_timeout" in data else [*edits, (("on_timeout",), "next")]


def _on_timeout(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """next or end; "steps" opens a way of its own, which keeps what is in it."""
    over = said.one("wait.on_timeout")
    if over == "steps":
        return [] if isinstance(data.get("on_timeout"), list) else [(("on_timeout",), [])]
    if isinstance(data.get("on_timeout"), list) and data["on_timeout"]:
        raise Invalid("“没等到”这一路里还有步骤，请先移走或删除它们")
    return [(("on_timeout",), "end" if over == "end" else "next")]


def _open_then(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return [] if "then" in data else [(("then",), [])]


def _event(name: str) -> str:
    if name not in EVENTS and not OWN_EVENT.fullmatch(name):
        raise Invalid(f"不认识的事件“{name[:40]}”，请从列表里选")
    return name


# The head -------------------------------------------------------------------------------------------------------------


def _trigger(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """Another event: what narrowed the old one goes, a run key that it cannot give becomes the person."""
    name = said.one("event") or said.one("own_event")
    known = find_trigger(name)
    if known is None:
        raise Invalid(f"不认识的触发事件“{name[:40]}”，请从列表里选")
    trigger: dict[str, Any] = {"event": name}
    if name == dates.EVENT:
        trigger["date"] = "birthday"
    if name == schedules.EVENT:
        trigger |= {"cron": "0 10 * * 1", "segment": ""}
    edits: list[Edit] = [(("trigger",), trigger)]
    if data.get("run_key") not in ("person", *known.run_keys):
        edits.append((("run_key",), "person"))
    return edits


def _where(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """One fact: `where.key` and its values; none takes it out."""
    trigger = data.get("trigger")
    return _narrowed(said, trigger.get("where") if isinstance(trigger, Mapping) else None, ("trigger", "where"))


def _wait_where(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """One fact of the event that is waited for."""
    return _narrowed(said, data.get("where"), ("where",))


def _goal_where(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    goal = data.get("goal")
    return _narrowed(said, goal.get("where") if isinstance(goal, Mapping) else None, ("goal", "where"))


def _narrowed(said: Said, before: Any, home: Path) -> list[Edit]:
    key, values = said.one("where.key"), [_fact(each) for each in said.listed("where.values")]
    if not key:
        raise Invalid("请选择按什么筛选")
    if not values and isinstance(before, Mapping) and set(before) <= {key}:
        return [(home, DROP)]
    return [((*home, key), (values[0] if len(values) == 1 else values) if values else DROP)]


def _fact(text: str) -> Any:
    return {"true": True, "false": False, "是": True, "否": False}.get(text, text)


def _date(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    name = said.one("date")
    if name == "field":
        name = f"field.{said.one('date.field')}"
    kind = dates.find_kind(name)
    if kind is None:
        raise Invalid("请选择是哪个日期；自己的日期字段要写字段的标识")
    lunar = said.one("lunar") == "1" and kind.lunar
    yearly = said.one("yearly") == "1" or lunar
    return [
        (("trigger", "date"), name),
        (("trigger", "lunar"), True if lunar else DROP),
        (("trigger", "yearly"), DROP if yearly == (kind.yearly or lunar) else yearly),
    ]


def _schedule(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """Every day, on some weekdays, or on a day of the month, at a time; or cron as it is written."""
    every = said.one("schedule")
    if every == "cron":
        cron = said.one("cron")
    else:
        clock = _CLOCK.fullmatch(said.one("schedule.time").replace("：", ":") or "10:00")
        if clock is None:
            raise Invalid("请写几点，例如 10:00")
        day = said.number("schedule.day", least=1, most=31, title="几号") or 1
        weekdays = ",".join(said.all("schedule.weekday")) or "1"
        cron = f"{int(clock[2])} {int(clock[1]) % 24} " + {"day": "* * *", "month": f"{day} * *"}.get(
            every, f"* * {weekdays}"
        )
    try:
        kept = schedules.parse_cron(cron)
    except ValueError as error:
        raise Invalid(str(error)) from None
    return [(("trigger", "cron"), kept)]


def _segment(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return [(("trigger", "segment"), said.one("segment"))]


def _run_key(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    key = said.one("run_key")
    if key not in run_keys.TITLES:
        raise Invalid("请选择怎样算同一次")
    return [(("run_key",), key)]


def _reentry(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    how = said.one("reentry")
    if how != "every":
        return [(("reentry",), "per_key" if how == "per_key" else "never")]
    return [(("reentry",), {"every": said.duration("reentry.every", "间隔") or "30d"})]


def _goal(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    event = said.one("goal.event")
    if not event:
        return [(("goal",), "none")]
    before = data.get("goal")
    kept = dict(before) if isinstance(before, Mapping) and before.get("event") == event else {}
    within = said.duration("goal.within", "多久内")
    goal = {**kept, "event": _event(event), **({"within": within} if within else {})}
    if not within:
        goal.pop("within", None)
    return [(("goal",), goal)]


def _quiet(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    how = said.one("quiet.mode")
    if how == "own":
        return [(("guards", "quiet"), _window(said, "quiet") or "21:30-09:00")]
    return [(("guards", "quiet"), "none" if how == "none" else "inherit")]


def _cap(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    how = said.one("cap.mode")
    if how != "own":
        return [(("guards", "cap"), "none" if how == "none" else "inherit")]
    gap = said.duration("cap.gap", "两次间隔")
    counts = {
        name: said.number(f"cap.{name}", least=1, most=999, title=title)
        for name, title in (("per_week", "7 天最多"), ("per_month", "30 天最多"))
    }
    cap = {**({"gap": gap} if gap else {}), **{name: count for name, count in counts.items() if count}}
    return [(("guards", "cap"), cap or {"per_week": 3})]


def _title(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return _plain("title", "名称", required=True)(said, data)


def _description(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    text = said.text("description")
    return [(("description",), _tall(text) if text else DROP)]


# Coupons that the playbook brings along ----------------------------------------------------------------------------------

_YUAN = re.compile(r"\d{1,6}(\.\d{1,2})?")


def _coupon(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    key = said.one("key")
    if key not in (data.get("coupons") or {}):
        raise Invalid("这张券已经不在了，请刷新页面再试")
    home: Path = ("coupons", key)
    benefit, kind, threshold = said.one("benefit") or "amount", said.one("kind"), _yuan(said, "threshold", "门槛")
    amount = (_yuan(said, "amount", "面额") or 10) if benefit == "amount" else None
    off = (said.number("percent_off", least=1, most=99, title="减百分之几") or 15) if benefit == "percent" else None
    return [
        ((*home, "title"), said.one("title") or "优惠券"),
        ((*home, "kind"), DROP if kind in ("", "generated") else kind),
        ((*home, "benefit"), benefit if benefit in ("gift", "freight") else DROP),
        ((*home, "amount"), amount if amount else DROP),
        ((*home, "percent_off"), off if off else DROP),
        ((*home, "threshold"), threshold if threshold else DROP),
        ((*home, "valid"), said.duration("valid", "有效期") or DROP),
        ((*home, "budget"), said.number("budget", least=1, most=10**8, title="限量") or DROP),
        ((*home, "url"), (said.one("url") or "https://") if kind == "link" else DROP),
        ((*home, "rules"), said.one("rules") or DROP),
    ]


def _yuan(said: Said, name: str, title: str) -> int | float | None:
    text = said.one(name)
    if not text:
        return None
    if not _YUAN.fullmatch(text):
        raise Invalid(f"{title}要写金额（元），例如 30 或 9.9，写的是“{text[:20]}”")
    return float(text) if "." in text else int(text)


def _add_coupon(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    taken = data.get("coupons") if isinstance(data.get("coupons"), Mapping) else {}
    stem = str(data.get("playbook") or "sop")[:50]
    key = next(f"{stem}-c{number}" for number in range(1, 99) if f"{stem}-c{number}" not in (taken or {}))
    return [(("coupons", key), {"title": "优惠券", "amount": 10, "threshold": 99, "valid": "7d"})]


def _ask(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    at = _item(said, "trigger")
    if at[:2] != asking.HOME or len(at) != 3:
        raise Invalid("画板不认识这一项，请刷新页面再试")
    return asking.read(said, data, at)


def _each_name(said: Said, data: Mapping[str, Any]) -> Iterator[Edit]:
    name = said.one("arm.name")
    if not name:
        raise Invalid("每一路都要有名称，结果才分得清")
    yield ("name",), name


def _test(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    at = _item(said, "tests")
    return trials.read(said, at, value_at(data, at))


def _test_came(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    return trials.read_came(said, _item(said, "tests"))


def _add_test(said: Said, data: Mapping[str, Any]) -> list[Edit]:
    """`kind` is the day on which it begins."""
    wanted, tests = data.get("trigger"), data.get("tests")
    event = str(wanted.get("event") or "") if isinstance(wanted, Mapping) else ""
    number = len(tests) + 1 if isinstance(tests, list) else 1
    return [(("tests", "+"), trials.begun(event, said.one("kind"), number))]


OF_PARTS: Mapping[str, Reader] = {
    "title": _title,
    "id": _plain("id", "编号", required=True),
    "when": _when,
    "only": _only,
    "late": _unless(("late",), "late", ""),
    "ttl": _span(("ttl",), "ttl", "多久算逾期"),
    "quiet": _unless(("quiet",), "quiet", "inherit"),
    "if": _condition(("if",), "if"),
    "text": _text,
    "script": _script,
    "share": _share,
    "variant_name": _variant_name,
    "attachment": _attached,
    "act": _acted,
    "notify": _notify,
    "hint": _plain("hint", "提示"),
    "form": _form,
    "outward": _outward,
    "data": _data,
    "gather": _span(("gather",), "gather", "攒多久"),
    "escalate": _span(("escalate",), "escalate", "多久告诉上级"),
    "wait": _wait_for,
    "wait_where": _wait_where,
    "on_timeout": _on_timeout,
    "then": _open_then,
    "arm.name": lambda said, data: list(_each_name(said, data)),
    "arm.if": _condition(("if",), "arm.if", when_empty={}),
    "arm.share": _percent(("share",), "arm.share", "占比"),
}
OF_HEAD: Mapping[str, Reader] = {
    "title": _title,
    "description": _description,
    "priority": _plain("priority", "优先级"),
    "owner_role": _plain("owner_role", "负责"),
    "trigger": _trigger,
    "ask": _ask,
    "where": _where,
    "date": _date,
    "schedule": _schedule,
    "segment": _segment,
    "run_key": _run_key,
    "reentry": _reentry,
    "enter_if": _condition(("enter_if",), "enter_if"),
    "exit_if": _condition(("exit_if",), "exit_if", when_empty="none"),
    "goal": _goal,
    "goal_where": _goal_where,
    "holdout": _percent(("holdout",), "holdout", "对照组"),
    "quiet": _quiet,
    "cap": _cap,
    "max_pushes": _whole(("guards", "max_pushes"), "max_pushes", "最多主动联系"),
    "brake": _unless(("guards", "brake"), "brake", "inherit"),
    "queue": _unless(("guards", "queue"), "queue", "inherit"),
    "optout": _unless(("guards", "optout"), "optout", ""),
    "approval": _whole(("approval", "audience"), "approval", "审批线", 10**8),
    "coupon": _coupon,
    "test": _test,
    "test_came": _test_came,
}
ADDERS: Mapping[str, Reader] = {
    "attachment": _add_attachment,
    "variant": _add_variant,
    "act": _add_act,
    "ask": lambda said, data: asking.begun(data),
    "coupon": _add_coupon,
    "test": _add_test,
}
