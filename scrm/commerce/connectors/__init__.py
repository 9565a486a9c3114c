"""Order-file formats: the hand-written list, and the choice among them by headings."""

from collections.abc import Sequence

from scrm.commerce.connectors import doudian, generic, jd, kuaishou, pdd, taobao, xhs
from scrm.commerce.connectors.connector import Connector, Context, Parser
from scrm.commerce.connectors.reader import Sheet
from scrm.commerce.connectors.suggesting import refuse_unread
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
    """The format whose headings fit best; raises Invalid when two are close, or when none reads what counts."""
    scores = sorted(
        ((sum(map(connector.score, sheets)), connector.key, connector) for connector in CONNECTORS), reverse=True
    )
    best = scores[0][0]
    close = [connector for score, _, connector in scores if score and score * 10 >= best * 9]
    if len(close) > 1:
        # A shop's own table shares headings with every platform; what marks a platform it has not.
        marked = [one for one in close if any(one.marks & sheet.columns.keys() for sheet in sheets)]
        close = marked or [one for one in close if one is generic.CONNECTOR] or close
    if len(close) > 1:
        raise Invalid(
            f"{sheets[0].name}：看不出是{close[0].title}还是{close[1].title}，"
            f"请指明格式：{close[0].title}（{close[0].key}）或{close[1].title}（{close[1].key}）"
        )
    connector = close[0] if close else scores[0][2]
    if connector is generic.CONNECTOR:
        refuse_unread(sheets[0])
    return connector


__all__ = ["CONNECTORS", "KNOWN_HEADINGS", "Connector", "Context", "Parser", "find_connector", "recognise"]
