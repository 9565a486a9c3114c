"""What only shows when a playbook is seen as a whole: steps that can never go out, coupons that are over by then."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from scrm.content import render
from scrm.segments.conditions import Problem, list_leaves
from scrm.sop import timing
from scrm.sop.calendar import dates
from scrm.sop.schema import Branch, Channel, Condition, CouponSpec, Part, Playbook, Step, Wait, Window, arms_of

Found = Iterator[tuple[int, str]]
_DAY = timedelta(days=1)


class Span(NamedTuple):
    """The least and the most time between two moments."""

    least: timedelta = timedelta()
    most: timedelta = timedelta()

    def later(self, by: "Span") -> "Span":
        return Span(self.least + by.least, self.most + by.most)


class Moment(NamedTuple):
    """When a step comes: so long after what times are counted from there, which is `base` after the anchor."""

    base: Span
    after: Span


def check_playbook(playbook: Playbook, coupons: Collection[str] | None, quiet: Window | None) -> Found:
    """Lines and texts; `coupons` are batches beside the playbook's own (None: nobody knows), `quiet` the house's hours."""
    yield from _check_welcome(playbook)
    yield from _check_groups(playbook)
    yield from _check_order(playbook)
    yield from _check_ahead(playbook)
    yield from _check_circle(playbook)
    yield from _check_quiet(playbook, _quiet_hours(playbook, quiet))
    yield from check_coupons(
        playbook, None if coupons is None else {*coupons, *(spec.key for spec in playbook.coupons)}
    )
    for spec in playbook.coupons:
        yield from _check_expiry(playbook, spec)


def named_in_conditions(playbook: Playbook, kind: str) -> set[str]:
    """The tags or segments ("tag", "segment") that its conditions name."""
    leaves = (leaf for tree, _ in _conditions(playbook) for _, leaf in list_leaves(tree))
    return {leaf[kind] for leaf in leaves if isinstance(leaf.get(kind), str)}


def check_tags(playbook: Playbook, tags: Collection[str]) -> Found:
    """Conditions that ask for tags which do not exist; `tags` has names and ids."""
    for tree, line in _conditions(playbook):
        for _, leaf in list_leaves(tree):
            if "tag" in leaf and leaf["tag"] not in tags:
                yield line, f"企业微信里没有标签“{leaf['tag']}”，请先建好，或换一个"


def check_names(playbook: Playbook, find: Callable[[Condition], Iterable[Problem]]) -> Found:
    """What conditions name that `find` says is not there."""
    for tree, line in _conditions(playbook):
        yield from ((line, problem.text) for problem in (find(tree) if tree else ()))


def check_trigger(playbook: Playbook, find: Callable[[Condition], Iterable[Problem]]) -> Found:
    """Segments and fields that the trigger names, and `find` says are not there: nobody would ever enter."""
    trigger = playbook.trigger
    segments = [trigger.segment] if trigger.segment else []
    if trigger.event.startswith("segment."):
        segments += [str(key) for key in trigger.where.get("segment", ())]
    asked: list[Condition] = [{"segment": key} for key in segments]
    if trigger.date.startswith("field."):
        asked.append({"field": trigger.date, "op": "present"})
    line = playbook.lines.get("trigger", 0)
    yield from ((line, f"trigger：{problem.text}") for tree in asked for problem in find(tree))


def _conditions(playbook: Playbook) -> list[tuple[Condition | None, int]]:
    of_steps = [(step.condition, step.line) for step in playbook.steps]
    of_head = [
        (playbook.enter_if, playbook.lines.get("enter_if", 0)),
        (playbook.exit_if, playbook.lines.get("exit_if", 0)),
    ]
    return [*of_head, *of_steps, *_of_branches(playbook.parts)]


def _of_branches(parts: Sequence[Part]) -> Iterator[tuple[Condition | None, int]]:
    for part in parts:
        if isinstance(part, Branch):
            yield from ((arm.condition, part.line) for arm in part.arms)
        if not isinstance(part, Step):
            for arm in arms_of(part):
                yield from _of_branches(arm)


def _check_welcome(playbook: Playbook) -> Found:
    welcomes = [step for step in playbook.steps if step.channel is Channel.WELCOME]
    for step in welcomes[1:]:
        yield step.line, f"“{step.id}”是第二条欢迎语，一个剧本只能有一条；不同渠道请写成不同的剧本"
    for step in welcomes:
        if playbook.trigger.event != "contact.added":
            yield step.line, f"欢迎语“{step.id}”只能用在 contact.added 触发的剧本里"
        if playbook.steps[0] is not step:
            yield step.line, f"欢迎语“{step.id}”要写在第一步"
        if any(len(said.text.encode()) > render.WELCOME_TEXT_BYTES for said in step.contents):
            yield step.line, f"欢迎语“{step.id}”超过 {render.WELCOME_TEXT_BYTES} 字节（约 1300 个汉字）"
    for step in playbook.steps:
        if step.channel is Channel.TASK and any(len(said.text) > render.CHAT_TEXT_CHARS for said in step.contents):
            yield step.line, f"步骤“{step.id}”的文字超过 {render.CHAT_TEXT_CHARS} 个字"


def _check_groups(playbook: Playbook) -> Found:
    """A run knows its group only when it began with somebody joining one."""
    for step in playbook.steps:
        if step.channel is Channel.GROUP and playbook.trigger.event != "group.joined":
            yield (
                step.line,
                f"步骤“{step.id}”要发到客户的群里，只能用在 group.joined（客户入群）触发的剧本；"
                "按日历给群发内容，请写成「群与朋友圈计划」",
            )


def _check_order(playbook: Playbook) -> Found:
    yield from _check_series(playbook.parts or playbook.steps)


def _check_series(parts: Sequence[Part], before: Step | None = None) -> Found:
    """Down each arm on its own; a wait counts anew."""
    for part in parts:
        if not isinstance(part, Step):
            for arm in arms_of(part):
                yield from _check_series(arm, None if isinstance(part, Wait) else before)
            before = None if isinstance(part, Wait) else before
            continue
        if before is not None and timing.latest_gap(part.when) < timing.earliest_gap(before.when):
            yield part.line, f"步骤“{part.id}”写在“{before.id}”后面，时间却更早，请按时间先后排列"
        before = part


def _check_ahead(playbook: Playbook) -> Found:
    """Before what is to come there is time; before what has happened there is none."""
    event = playbook.trigger.event
    if playbook.trigger.anchor:
        return
    if event in (dates.EVENT, "staff.promised") or event.startswith(("live.", "custom.")):
        return
    for step in playbook.steps:
        if (step.when.offset if step.when.days is None else step.when.days * _DAY) < timedelta():
            yield (
                step.line,
                f"步骤“{step.id}”要在触发之前发，可是 {event} 发生了才开始，那时已经过了："
                "D-3、T0-2h 只能用在 date.reached（日期）、live.*（直播）和 staff.promised（承诺到点）触发的剧本里",
            )


def _check_circle(playbook: Playbook) -> Found:
    for step in playbook.steps:
        started = [act["start_playbook"] for act in step.act if "start_playbook" in act]
        if any(playbook.key in (keys if isinstance(keys, list) else [keys]) for keys in started):
            yield (
                step.line,
                f"步骤“{step.id}”开始的是这个剧本自己，会没完没了；要重来请改 reentry，要反复做请写成定时剧本",
            )


def _quiet_hours(playbook: Playbook, house: Window | None) -> Window | None:
    own = playbook.guards.quiet
    if isinstance(own, Window):
        return own
    return None if own == "none" else house


def _check_quiet(playbook: Playbook, quiet: Window | None) -> Found:
    for step in playbook.steps:
        if quiet is None or not step.channel.speaks or step.channel is Channel.WELCOME or step.ignores_quiet:
            continue
        window = step.when.window
        if window is not None and not timing.opens_outside(window, quiet):
            yield step.line, f"步骤“{step.id}”的时间段全在静默时段（{_span(quiet)}）里，永远不会发出"


def _span(window: Window) -> str:
    return f"{window.start:%H:%M}-{window.end:%H:%M}"


def check_coupons(playbook: Playbook, known: Collection[str] | None) -> Found:
    """Coupons that are given or asked for and that there are not; with None, what is named is taken to be there."""
    for step in playbook.steps:
        for key in _coupons_given(step):
            if known is not None and key not in known:
                yield step.line, f"步骤“{step.id}”用到的券“{key}”不存在，请写在 coupons 里，或先建好这个批次"
        if _speaks_of_coupon(step) and not playbook.coupons and not _coupons_given(step):
            yield step.line, f"步骤“{step.id}”用到了券的变量，但这个剧本没有券"
    for tree, line in _conditions(playbook):
        for spec in _coupon_leaves(tree):
            if known is not None and "of" in spec and spec["of"] not in known:
                yield line, f"条件里的券“{spec.get('of')}”不存在，请写在 coupons 里，或先建好这个批次"


def coupons_named(playbook: Playbook) -> set[str]:
    """The batches that steps give and conditions ask for."""
    asked = {str(spec["of"]) for tree, _ in _conditions(playbook) for spec in _coupon_leaves(tree) if "of" in spec}
    return asked | {key for step in playbook.steps for key in _coupons_given(step)}


def _check_expiry(playbook: Playbook, spec: CouponSpec) -> Found:
    """The first step that shows a coupon issues it; later ones must come before it is over."""
    if spec.valid is None:
        return
    showing = [step for step in playbook.steps if _shows(step, spec, playbook)]
    moments = {step.id: moment for step, moment in _list_moments(playbook)}
    for step in showing[1:]:
        if showing[0].id not in moments or step.id not in moments:
            continue
        soonest, latest = _gap(moments[showing[0].id], moments[step.id], step)
        if soonest >= spec.valid:
            yield (
                step.line,
                f"步骤“{step.id}”在券“{spec.title}”过期之后才发（有效期 {timing.write_duration(spec.valid)}）",
            )
        elif latest > spec.valid and not _minds_expiry(step, spec):
            yield (
                step.line,
                f"步骤“{step.id}”最晚在领券 {timing.write_duration(latest)}后才发出，那时券“{spec.title}”可能已过期"
                f"（有效期 {timing.write_duration(spec.valid)}）：请延长有效期、提早这一步，"
                f"或加条件 {{coupon: {{of: {spec.key}, state: unused}}}}",
            )


def _gap(first: Moment, second: Moment, step: Step) -> Span:
    """The least and the most time from the issue to the moment a member may still send the later step."""
    if first.base == second.base:
        # Behind the same wait: however long it was, both are counted from its end.
        issued, shown = first.after, second.after
    else:
        issued, shown = (each.base.later(each.after) for each in (first, second))
    return Span(max(shown.least - issued.most, timedelta()), shown.most - issued.least + (step.ttl or timedelta()))


def _list_moments(playbook: Playbook) -> list[tuple[Step, Moment]]:
    """When each step comes, also behind waits and in arms."""
    found: list[tuple[Step, Moment]] = []
    _walk(playbook.parts or playbook.steps, Span(), Span(), found)
    return found


def _walk(parts: Sequence[Part], base: Span, at: Span, found: list[tuple[Step, Moment]]) -> tuple[Span, Span]:
    """Down one series; `base` is what times are counted from, `at` where the run is. Both as they are at its end."""
    for part in parts:
        if isinstance(part, Step):
            after = Span(timing.earliest_gap(part.when), timing.latest_gap(part.when))
            found.append((part, Moment(base, after)))
            moment = base.later(after)
            at = Span(max(at.least, moment.least), max(at.most, moment.most))
            continue
        if isinstance(part, Wait):
            # The event may come at once; a wait for time alone takes that time.
            base = at = Span(at.least + (timedelta() if part.event else part.timeout), at.most + part.timeout)
        # Who fits no arm goes past.
        ends = [(base, at), *(_walk(arm, base, at, found) for arm in arms_of(part))]
        base, at = (
            Span(min(one.least for one in each), max(one.most for one in each)) for each in zip(*ends, strict=True)
        )
    return base, at


def _shows(step: Step, spec: CouponSpec, playbook: Playbook) -> bool:
    given = _coupons_given(step)
    speaks_of_it = not given and _speaks_of_coupon(step) and playbook.coupons[0] is spec
    return spec.key in given or speaks_of_it or _minds_expiry(step, spec)


def _minds_expiry(step: Step, spec: CouponSpec) -> bool:
    leaves = _coupon_leaves(step.condition)
    return any(leaf.get("of") == spec.key and leaf.get("state") == "unused" for leaf in leaves)


def _coupons_given(step: Step) -> list[str]:
    attached = [each["coupon"] for said in step.contents for each in said.attachments if "coupon" in each]
    return attached + [str(act["issue_coupon"]) for act in step.act if "issue_coupon" in act]


def _speaks_of_coupon(step: Step) -> bool:
    return any(name.startswith("coupon.") for said in step.contents for name in render.variables_of(said.text))


def _coupon_leaves(tree: Condition | None) -> list[dict[str, str]]:
    return [leaf["coupon"] for _, leaf in list_leaves(tree) if "coupon" in leaf]
