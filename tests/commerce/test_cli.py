"""`scrm import` as an operator types it: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from scrm.cli import run

PAYLOADS = Path(__file__).parent.parent / "payloads" / "orders"


@pytest.fixture(autouse=True)
def configured(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "DATABASE__URL": sqlite_url,
        "WECOM__CORP_ID": "ww1234567890abcdef",
        "WECOM__AGENT_ID": "1000002",
        "WECOM__SECRET": "secret",
        "WECOM__TOKEN": "token",
        "WECOM__ENCODING_AES_KEY": "a" * 43,
        "SECURITY__SECRET_KEY": "a key of more than thirty-two characters",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SCRM_{name}", value)
    monkeypatch.chdir(tmp_path)


def copy(tmp_path: Path, name: str) -> str:
    (tmp_path / name).write_bytes((PAYLOADS / name).read_bytes())
    return str(tmp_path / name)


def test_the_last_line_is_json_and_the_run_can_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [copy(tmp_path, "taobao_orders.csv"), copy(tmp_path, "taobao_details.csv")]
    expected = {"orders": 5, "lines": 5, "created": 4, "updated": 0, "unchanged": 0, "rejected": 1}
    assert run(["import", "orders", *pair, "--format", "taobao", "--shop", "tmall-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == expected
    assert run(["import", "orders", *pair, "--format", "taobao", "--shop", "tmall-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == expected | {"created": 0, "unchanged": 4}


def test_people_read_what_happened_and_where_the_errors_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "orders", copy(tmp_path, "taobao_orders.csv")]) == 0
    out = capsys.readouterr().out
    assert "新建 4，更新 0，未变 0，拒绝 1" in out
    assert str(tmp_path / "taobao_orders.errors.csv") in out


def test_nothing_usable_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.csv").write_text("order_no,paid,ordered_at\n1,abc,2026-01-01\n", encoding="utf-8")
    assert run(["import", "orders", str(tmp_path / "bad.csv")]) == 1


def test_a_missing_file_is_wrong_use_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "orders", "nowhere.csv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_format_without_a_connector_is_wrong_use_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, says in (("youzan", "还不支持 wxstore、"), ("nothing", "没有格式 nothing，可用的有 taobao、jd")):
        assert run(["import", "orders", copy(tmp_path, "generic.csv"), "--format", key]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
    run(["import", "orders", copy(tmp_path, "generic.csv"), "--format", "youzan"])
    assert "通用表格" in capsys.readouterr().err


def test_help_offers_only_formats_that_work(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["import", "orders", "--help"])
    said = capsys.readouterr().out
    assert "--format {taobao,jd,pdd,doudian,kuaishou,xhs,generic}" in said
    assert "youzan" not in said


def test_a_dry_run_shows_reasons_and_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy(tmp_path, "taobao_orders.csv")
    before = sorted(tmp_path.glob("*.csv*"))
    assert run(["import", "orders", path, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "试运行，没有写入" in out
    assert "“买家实际支付金额”应为金额" in out
    assert sorted(tmp_path.glob("*.csv*")) == before


def test_codes_go_into_a_pool(tmp_path: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine = create_engine(sqlite_url)
    with engine.begin() as conn:
        conn.execute(text("INSERT INTO coupon_batch (key, kind, title, created_at) VALUES ('pool', 'pool', '券', 0)"))
    engine.dispose()
    (tmp_path / "codes.txt").write_text("AAAA1\nAAAA2\n", encoding="utf-8")
    assert run(["import", "coupons", str(tmp_path / "codes.txt"), "--batch", "pool", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["added"] == 2
    assert run(["import", "coupons", str(tmp_path / "codes.txt"), "--batch", "none"]) == 1


@pytest.mark.parametrize(
    ("heading", "title"),
    [("实付", "实付金额"), ("订单日期", "下单时间"), ("交易状态", "订单状态"), ("客户手机", "手机号")],
)
def test_a_table_of_ours_that_calls_what_counts_otherwise_does_not_come_in_without_it(
    heading: str, title: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Orders of 95 yuan were orders of nothing, and the check said that all was well."""
    cells = {
        "订单编号": "A1",
        "下单时间": "2026-06-01",
        "订单状态": "已完成",
        "实付金额": "95",
        "手机号": "13800000001",
    }
    renamed = {heading if name == title else name: cell for name, cell in cells.items()}
    path = tmp_path / "own.csv"
    path.write_text("\n".join((",".join(renamed), ",".join(renamed.values()))), encoding="utf-8")
    assert run(["import", "orders", str(path), "--dry-run"]) == 1
    error = capsys.readouterr().err
    assert f"没有列“{title}”，文件里的“{heading}”像是它" in error
    assert error.count("\n") == 1
    assert run(["import", "orders", str(path), "--dry-run", "--format", "generic"]) == (heading == "订单日期")
