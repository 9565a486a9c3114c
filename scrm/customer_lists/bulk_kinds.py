"""What can be done with many customers at once: one line each. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scrm.access.modules import EDIT, EXPORT
from scrm.profiles.words import Word


@dataclass(frozen=True, slots=True)
class Kind:
    """`module` and `right` are what whoever begins it needs; `most` is how many persons one job may have.

    `takes_back` names the kind that it undoes; nobody begins such a one by itself.
    """

    key: str
    title: str
    module: str
    right: str
    most: int = 200_000
    takes_back: str = ""


KINDS: Mapping[str, Kind] = {
    each.key: each
    for each in (
        Kind("tag", "打标签", "customers", EDIT),
        Kind("untag", "去标签", "customers", EDIT),
        Kind("transfer", "转给同事", "transfers", EDIT, 20_000),
        Kind("playbook", "开始剧本", "playbooks", EDIT, 20_000),
        Kind("pool", "放入公海", "pool", EDIT, 20_000),
        Kind("export", "导出", "customers", EXPORT, 500_000),
        Kind("stop", "停止剧本", "playbooks", EDIT, 20_000, takes_back="playbook"),
        Kind("unpool", "移出公海", "pool", EDIT, 20_000, takes_back="pool"),
    )
}
# What takes a kind back. A transfer is WeCom's own: only another transfer brings the customers back.
OPPOSITE: Mapping[str, str] = {
    "tag": "untag",
    "untag": "tag",
    **{each.takes_back: each.key for each in KINDS.values() if each.takes_back},
}
UNDO_WORDS: Mapping[str, str] = {
    "tag": "撤销：把打上的去掉",
    "untag": "撤销：把去掉的打回来",
    "playbook": "撤销：停止这次开始的剧本",
    "pool": "撤销：移出公海，还给原来的负责人",
}


def may_begin(kind: Kind, may: Callable[[str, str], bool]) -> bool:
    """Besides the right of its own, whoever changes customers needs that of the list."""
    return may(kind.module, kind.right) and may("customers", EXPORT if kind.right == EXPORT else EDIT)


def offered_to(may: Callable[[str, str], bool]) -> list[Kind]:
    """Those that somebody may begin."""
    return [each for each in KINDS.values() if not each.takes_back and may_begin(each, may)]


STATES: Mapping[str, Word] = {
    "gathering": Word("正在准备", "info"),
    "running": Word("进行中", "info"),
    "done": Word("已完成", "good"),
    "cancelled": Word("已取消", "warn"),
    "failed": Word("没有执行", "bad"),
}
RESULTS: Mapping[str, Word] = {
    "waiting": Word("等待中"),
    "done": Word("完成", "good"),
    "refused": Word("没有成功", "bad"),
}
