"""What only shows when a playbook is seen as a whole: steps that can never go out, coupons that are over by then."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import timedelta

from scrm.content import render
from scrm.sop import timing
from scrm.sop.conditions import Problem, list_leaves
from scrm.sop.schema import Channel, Condition, CouponSpec, Part, Playbook, Step, Wait, Window, arms_of

Found = Iterator[tuple[int, str]]


def check_playbook(playbook: Playbook, coupons: Collection[str], quiet: Window | None) -> Found:
    """Lines and texts; `coupons` are batches that exist beside the playbook's own, `quiet` the house's quiet hours."""
    yield from _check_welcome(playbook)
    yield from _check_order(playbook)
    yield from _check_quiet(playbook, _quiet_hours(playbook, quiet))
    yield from _check_coupons_exist(playbook, {*coupons, *(spec.key for spec in playbook.coupons)})
    for spec in playbook.coupons:
        yield from _check_expiry(playbook, spec)


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


def _conditions(playbook: Playbook) -> list[tuple[Condition | None, int]]:
    of_steps = [(step.condition, step.line) for step in playbook.steps]
    return [(playbook.enter_if, 0), (playbook.exit_if, 0), *of_steps]


def _check_welcome(playbook: Playbook) -> Found:
    welcomes = [step for step in playbook.steps if step.channel is Channel.WELCOME]
    for step in welcomes[1:]:
        yield step.line, f"“{step.id}”是第二条欢迎语，一个剧本只能有一条；不同渠道请写成不同的剧本"
    for step in welcomes:
        if playbook.trigger.event != "contact.added":
            yield step.line, f"欢迎语“{step.id}”只能用在 contact.added 触发的剧本里"
        if playbook.steps[0] is not step:
            yield step.line, f"欢迎语“{step.id}”要写在第一步"
        if len((step.content.text if step.content else "").encode()) > render.WELCOME_TEXT_BYTES:
            yield step.line, f"欢迎语“{step.id}”超过 {render.WELCOME_TEXT_BYTES} 字节（约 1300 个汉字）"
    for step in playbook.steps:
        if step.channel is Channel.TASK and step.content and len(step.content.text) > render.CHAT_TEXT_CHARS:
            yield step.line, f"步骤“{step.id}”的文字超过 {render.CHAT_TEXT_CHARS} 个字"


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


def _quiet_hours(playbook: Playbook, house: Window | None) -> Window | None:
    own = playbook.guards.quiet
    if isinstance(own, Window):
        return own
    return None if own == "none" else house


def _check_quiet(playbook: Playbook, quiet: Window | None) -> Found:
    for step in playbook.steps:
        if quiet is None or step.channel is not Channel.TASK or step.ignores_quiet:
            continue
        window = step.when.window
        if window is not None and not timing.opens_outside(window, quiet):
            yield step.line, f"步骤“{step.id}”的时间段全在静默时段（{_span(quiet)}）里，永远不会发出"


def _span(window: Window) -> str:
    return f"{window.start:%H:%M}-{window.end:%H:%M}"


def _check_coupons_exist(playbook: Playbook, known: Collection[str]) -> Found:
    for step in playbook.steps:
        for key in _coupons_given(step):
            if key not in known:
                yield step.line, f"步骤“{step.id}”用到的券“{key}”不存在，请写在 coupons 里，或先建好这个批次"
        if _speaks_of_coupon(step) and not playbook.coupons and not _coupons_given(step):
            yield step.line, f"步骤“{step.id}”用到了券的变量，但这个剧本没有券"
    for tree, line in _conditions(playbook):
        for spec in _coupon_leaves(tree):
            if "of" in spec and spec["of"] not in known:
                yield line, f"条件里的券“{spec.get('of')}”不存在，请写在 coupons 里，或先建好这个批次"


def _check_expiry(playbook: Playbook, spec: CouponSpec) -> Found:
    """The first step that shows a coupon issues it; later ones must come before it is over."""
    if spec.valid is None:
        return
    showing = [step for step in playbook.steps if _shows(step, spec, playbook)]
    for step in showing[1:]:
        soonest, latest = _gap(showing[0], step)
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


def _gap(issued: Step, shown: Step) -> tuple[timedelta, timedelta]:
    """The least and the most time from the issue to the moment a member may still send the later step."""
    soonest = timing.earliest_gap(shown.when) - timing.latest_gap(issued.when)
    latest = timing.latest_gap(shown.when) - timing.earliest_gap(issued.when) + (shown.ttl or timedelta())
    return max(soonest, timedelta()), latest


def _shows(step: Step, spec: CouponSpec, playbook: Playbook) -> bool:
    given = _coupons_given(step)
    speaks_of_it = not given and _speaks_of_coupon(step) and playbook.coupons[0] is spec
    return spec.key in given or speaks_of_it or _minds_expiry(step, spec)


def _minds_expiry(step: Step, spec: CouponSpec) -> bool:
    leaves = _coupon_leaves(step.condition)
    return any(leaf.get("of") == spec.key and leaf.get("state") == "unused" for leaf in leaves)


def _coupons_given(step: Step) -> list[str]:
    attached = [each["coupon"] for each in (step.content.attachments if step.content else ()) if "coupon" in each]
    return attached + [str(act["issue_coupon"]) for act in step.act if "issue_coupon" in act]


def _speaks_of_coupon(step: Step) -> bool:
    return step.content is not None and any(
        name.startswith("coupon.") for name in render.variables_of(step.content.text)
    )


def _coupon_leaves(tree: Condition | None) -> list[dict[str, str]]:
    return [leaf["coupon"] for _, leaf in list_leaves(tree) if "coupon" in leaf]
