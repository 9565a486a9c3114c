"""What every test may use; under CI a test that did not run is a test that failed."""

import os
from collections.abc import Generator
from typing import Any

import pytest

pytest_plugins = ["tests.fixtures_db", "tests.fixtures_browser", "tests.fixtures_node"]

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return fail_if_skipped((yield))


def fail_if_skipped(report: Any) -> Any:
    """A skip under CI becomes a failure with the same reason; an expected failure stays what it is."""
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"CI 中不允许跳过：{why}"
    return report
