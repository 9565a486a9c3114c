"""How members did what playbooks asked of them: counts of steps over the days, by playbook or by member."""

from collections import Counter, defaultdict

from sqlalchemy import Connection, select

from scrm.profiles.models import member
from scrm.reports.grids import Look
from scrm.reports.measures.kinds import Measure, Unit, Value, share
from scrm.reports.period import Period
from scrm.reports.whose import Whose
from scrm.sop.models import playbook
from scrm.sop.results.figures import Figures, load_counts
from scrm.sop.results.tally import BY_HAND


class Work(Figures):
    """Counts of what members do by hand; of all steps `all:targeted`, `all:delivered`, of runs `run:entered` ..."""


def count(conn: Connection, look: Look, period: Period) -> dict[tuple[str, str], Work]:
    """By (playbook, member); runs, which are nobody's own, under the member ''."""
    within = None if look.whose.is_whole else reached(conn, look.whose)
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for key, version in conn.execute(select(playbook.c.key, playbook.c.version).order_by(playbook.c.key)).all():
        read = look.published.version(key, version)
        by_hand = {step.id for step in read.steps if step.channel.value in BY_HAND} if read is not None else set()
        counts, _ = load_counts(conn, key, period.first, period.last, look.zone, look.now)
        for each, number in counts.items():
            if not each.step_id:
                if within is None:
                    found[key, ""][f"run:{each.what}"] += number
            elif within is None or each.userid.lower() in within:
                if each.step_id in by_hand:
                    found[key, each.userid][each.what] += number
                if each.what in ("targeted", "delivered"):
                    found[key, each.userid][f"all:{each.what}"] += number
    return {key: Work(counts) for key, counts in found.items()}


def reached(conn: Connection, whose: Whose) -> set[str]:
    """The members whose figures may be seen, folded."""
    return set(conn.scalars(select(member.c.folded).where(whose.has_member(member.c.userid))))


def add_up(works: list[Work]) -> Work:
    """Pure."""
    total: Counter[str] = Counter()
    for each in works:
        total.update(each.counts)
    return Work(total)


def _released(work: Work) -> Value:
    return work["released"]


def _reach_rate(work: Work) -> Value:
    return share(work["all:delivered"], work["all:targeted"])


def _confirm_rate(work: Work) -> Value:
    return work.confirm_rate


def _in_time_rate(work: Work) -> Value:
    return work.in_time_rate


def _minutes(work: Work) -> Value:
    return work.median_minutes


def _entered(work: Work) -> Value:
    return work["run:entered"]


def _goal_rate(work: Work) -> Value:
    return share(work["run:goal"], work["run:entered"])


RELEASED = Measure("released", "已下发", "这段时间剧本下发给员工、要员工自己动手的待办数", Unit.COUNT, _released)
REACH_RATE = Measure(
    "reach_rate", "触达率", "已送达的步骤 ÷ 这段时间该执行的步骤，自动发送的也算", Unit.SHARE, _reach_rate
)
CONFIRM_RATE = Measure(
    "confirm_rate", "执行率", "员工已确认 ÷ 已下发并到期的待办（已撤回、还在等确认的不算）", Unit.SHARE, _confirm_rate
)
IN_TIME_RATE = Measure(
    "in_time_rate", "及时率", "有效期内确认 ÷ 已下发并到期的待办（已撤回、还在等确认的不算）", Unit.SHARE, _in_time_rate
)
MINUTES = Measure(
    "minutes",
    "确认用时",
    "从下发到员工确认的时间，一半的确认不超过这个时间（中位数）",
    Unit.MINUTES,
    _minutes,
    is_good_up=False,
)
ENTERED = Measure("run_entered", "进入剧本", "这段时间进入剧本的次数，对照组不算", Unit.COUNT, _entered)
GOAL_RATE = Measure(
    "goal_rate",
    "目标达成率",
    "这段时间进入的次数里已经达成目标的 ÷ 这段时间进入的次数；刚进入的还有机会",
    Unit.SHARE,
    _goal_rate,
)
