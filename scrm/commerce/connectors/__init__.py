"""Order-file formats: the hand-written list, and the choice among them by headings."""

from collections.abc import Sequence

from scrm.commerce.connectors import doudian, generic, jd, kuaishou, pdd, taobao, xhs
from scrm.commerce.connectors.connector import Connector, Context, Parser
from scrm.commerce.connectors.reader import Sheet
from scrm.errors import Invalid

CONNECTORS: tuple[Connector, ...] = (
    taobao.CONNECTOR,
    jd.CONNECTOR,
    pdd.CONNECTOR,
    doudian.CONNECTOR,
    kuaishou.CONNECTOR,
    xhs.CONNECTOR,
    generic.CONNECTOR,
)

KNOWN_HEADINGS = frozenset().union(*(connector.headings for connector in CONNECTORS))


def find_connector(key: str) -> Connector:
    """By its key; raises Invalid that names the keys there are."""
    for connector in CONNECTORS:
        if connector.key == key:
            return connector
    known = "、".join(connector.key for connector in CONNECTORS)
    raise Invalid(f"还不支持格式 {key}，目前支持 {known}；其他平台的订单请整理成通用表格（见 docs/import.md）")


def recognise(sheets: Sequence[Sheet]) -> Connector:
    """The format whose headings fit best; raises Invalid when two are close."""
    scores = sorted(
        ((sum(map(connector.score, sheets)), connector.key, connector) for connector in CONNECTORS), reverse=True
    )
    (best, _, connector), (second, _, other) = scores[0], scores[1]
    if second and second * 10 >= best * 9:
        raise Invalid(
            f"{sheets[0].name}：看不出是{connector.title}还是{other.title}，"
            f"请用 --format {connector.key} 或 --format {other.key} 指明"
        )
    return connector


__all__ = ["CONNECTORS", "KNOWN_HEADINGS", "Connector", "Context", "Parser", "find_connector", "recognise"]
