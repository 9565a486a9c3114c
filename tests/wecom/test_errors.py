"""Every error code maps to its retry class, says in Chinese what to do, and the worker does it."""

from datetime import timedelta

import pytest

from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable, WindowFull
from scrm.work.retry import next_try
from tests.fakes.clock import FakeClock

# The table of error codes as it was read, codes = class; several classes go by the order of the codes.
TABLE = """
    -1=A 6000=A 40001=H 40003=G 40004/40005/40006=I 40007=I 40008=G 40009/40011=I 40013=H 40014=B 40029=G
    40031/40032=G 40033=G 40035=G 40039=G 40056=H 40057=H 40058=G 40063=G 40066=G 40068=G 40070=G 40071/40072=G
    40093=G 40096=F 40097=F 40098=F 40099=F 40100=F 40123/40124=I 40126=G 40127=G 40128=F 40129=F 40130=F
    40131=F 40132=F 40143=F 40144=F 40145=I 40201/40204=F 40205=F 40206=G 41001/41002/41004=G
    41006/41009/41010/41011=G 41035=G 41036=G 41037/41038=G 41039/41040/41042=G 41041=G 41043/41044=G 41045=G
    41046/41047=G 41048=F 41049=G 41050=F 41051=F 41052=G 41053=F 41054=F 41055=G 41056=G 41057=H 41058=G
    41059/41060/41067=G 41061=F 41062=E 41063=E 41064/41065=G 41066=G 41068/41069/41070/41071=G 41072=I
    41073/41074/41075=G 41076/41077=G 41078=E 41079=E 41080/41081/41082=I 41083/41084=G
    41085/41086/41087/41088=G 41089=G 41090=I 41091=G 41093=F 41094=C 41095=G 41096=E 41098/41099=H
    41110/41111=G 41200=H 41201=F 41202=G 41210/41211=C/H 41300..41305=G 42001/42003/42022=B/G/G 42012=B
    44001/44004=G 45001/45002/45007=I/G/I 45009=C 45029=G 45030=G 45033=A 45035=D 45036=E 46004=F
    48001/48002/48004/48005=H 48006/48009/48010/48011=H 49008=F 50001/50002/50003/50006=H 50100=restart
    60003/60123=G 60011/60021/60030=H 60020=H 60031=H 60111=F 60140=F 60251/60252=G
    80001/85004/85005/85008/85111=H 81011=G 81013=F 81017=G 84061=F 84074=H 84083/84084=F 90500=F 90501/90509=F
    90502=F 90503=F 90504=F 90507/90508=F 90510=H 90511=G 95000..95018=F 301002=H 301042=H 610014=G
    610015/610016/610017/610018=H 610023/610024=H 701008/701099=H 830001/830002=G/I
"""

CLASSES = {
    "A": RetryClass.TRANSIENT,
    "B": RetryClass.TOKEN,
    "C": RetryClass.WINDOW,
    "D": RetryClass.CONFLICT,
    "E": RetryClass.LATER,
    "F": RetryClass.RELATION,
    "G": RetryClass.PARAMETER,
    "H": RetryClass.CONFIGURATION,
    "I": RetryClass.MEDIA,
    "restart": RetryClass.RESTART,
}

# Seconds until the second try, and how many tries there are at least; None: no second try.
PATIENCE: dict[RetryClass, tuple[float | None, int]] = {
    RetryClass.TRANSIENT: (1, 3),
    RetryClass.TOKEN: (5, 2),
    RetryClass.WINDOW: (60, 3),
    RetryClass.CONFLICT: (1, 3),
    RetryClass.LATER: (10, 3),
    RetryClass.RELATION: (None, 1),
    RetryClass.PARAMETER: (None, 1),
    RetryClass.CONFIGURATION: (None, 1),
    RetryClass.MEDIA: (1, 2),
    RetryClass.RESTART: (60, 2),
}


def expected(table: str = TABLE) -> list[tuple[int, RetryClass]]:
    pairs = []
    for entry in table.split():
        codes, kinds = entry.split("=")
        if ".." in codes:
            first, last = map(int, codes.split(".."))
            numbers = list(range(first, last + 1))
        else:
            numbers = [int(code) for code in codes.split("/")]
        letters = kinds.split("/") if "/" in kinds else [kinds] * len(numbers)
        pairs += [(number, CLASSES[letter]) for number, letter in zip(numbers, letters, strict=True)]
    return pairs


# What the list of the client's side has beside them, of the families that we call.
CLIENT_SIDE = "40091=H 40094/45034=G 42014..42021=G 42023..42051=G 42052=G 43004=F 43012=H 45008=G 81012/82001=F "
CLIENT_SIDE += "82002/82003=G 84014/84015/84025=G 85002=G 90200..90208=G 91040=G 301019=I 301052/301053=H"


def test_each_code_of_the_table_has_its_class_its_words_and_its_patience() -> None:
    table = expected() + expected(CLIENT_SIDE)
    assert len(table) > 190
    now = FakeClock().now()
    for code, kind in table:
        error = WeComError(code)
        assert error.retry_class is kind, code
        assert "企业微信返回错误" not in error.text, f"{code} has no explanation"
        assert error.text.endswith("。"), code
        wait, tries = PATIENCE[kind]
        due_at = next_try(error, 1, now, None)
        assert (None if due_at is None else (due_at - now).total_seconds()) == wait, code
        assert all(next_try(error, attempt, now, None) for attempt in range(1, tries)), code
        assert next_try(error, 99, now, None) is None, code


@pytest.mark.parametrize(
    ("errcode", "words"),
    [
        (60020, ["应用管理", "企业可信IP", "203.0.113.9"]),
        (48002, ["客户联系", "可调用接口的应用"]),
        (84061, ["好友", "使用范围"]),
        (301002, ["AgentId", "Secret", "应用管理"]),
        (41001, ["access_token", "api_base"]),
    ],
)
def test_the_failures_everybody_meets_first_say_where_to_click(errcode: int, words: list[str]) -> None:
    errmsg = f"not allow, hint: [1784701000_12_ab34], from ip: 203.0.113.9, more info at https://x?e={errcode}"
    error = WeComError(errcode, errmsg)
    assert all(word in error.text for word in words), error.text
    assert (error.hint, error.from_ip) == ("1784701000_12_ab34", "203.0.113.9")


def test_an_unknown_code_is_not_tried_again_and_says_where_to_look_it_up() -> None:
    error = WeComError(987654)
    assert error.retry_class is RetryClass.PARAMETER
    assert "987654" in error.text
    assert next_try(error, 1, FakeClock().now(), None) is None


def test_a_busy_wecom_is_asked_three_times_and_a_dead_line_is_tried_for_longer() -> None:
    now = FakeClock().now()

    def waits(error: WeComError) -> list[float]:
        found = []
        while due_at := next_try(error, len(found) + 1, now, None):
            found.append((due_at - now).total_seconds())
        return found

    assert waits(WeComError(-1)) == [1, 2]
    assert waits(WeComError(45033))[:4] == [1, 2, 4, 15]
    earlier = [next_try(WeComError(45033), 3, now, None, jitter=part / 10) for part in range(10)]
    assert all(now + timedelta(seconds=3) < due_at <= now + timedelta(seconds=4) for due_at in earlier if due_at)
    assert len(set(earlier)) == 10
    assert waits(WeComUnreachable("TimeoutError"))[:4] == [1, 2, 4, 15]
    assert waits(WindowFull("externalcontact/list", 37.5))[0] == 37.5
    assert next_try(WindowFull("x", 3600), 1, now, now + timedelta(seconds=60)) is None
