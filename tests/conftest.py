"""What every test may use; under CI a test that did not run is a test that failed."""

import gc
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures_db",
    "tests.fixtures_browser",
    "tests.fixtures_node",
    "tests.remembered",
    "tests.world",
]

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# A machine that is busy is no failure, and CI looks at the same examples each time.
settings.register_profile("scrm", deadline=None, derandomize=CI)
settings.load_profile("scrm")


_configure = structlog.configure


def _configure_anew(**said: Any) -> None:
    _configure(**said | {"cache_logger_on_first_use": False})


# A command that a test runs in this process sets up the logs: the next test has them as they were before.
structlog.configure = _configure_anew


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    _configure(**before)


# One at a time, also when the suite runs in several processes: two browsers, or a process that is killed beside
# another test's, only take each other's seconds.
ALONE = ("browser", "chaos")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(mark) for mark in ALONE):
            item.add_marker(pytest.mark.xdist_group("alone"))


def pytest_collection_finish() -> None:
    """What was imported stays: to look again and again for garbage among it is a tenth of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return judge_skip((yield))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return judge_skip((yield))


def judge_skip(report: Any) -> Any:
    """A skip fails under CI; elsewhere all skips of one reason become one line of the summary."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if CI:
        report.outcome = "failed"
        report.longrepr = f"CI 中不允许跳过：{reason}"
    else:
        report.longrepr = ("tests", 0, reason)  # pytest folds skips by place and reason
    return report
