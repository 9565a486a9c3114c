"""Structured logs: one JSON line each on stderr, or readable lines on a terminal; never a secret, never a phone."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog
from aiohttp.http_exceptions import HttpProcessingError

_PRIVATE_KEYS = re.compile(r"secret|token|password|ticket|welcome_code|echostr|phone|mobile|authorization", re.I)
_PHONE = re.compile(r"(?<!\d)(?:\+?86)?1[3-9]\d{9}(?!\d)")
_TOKEN = re.compile(r"(access_token|corpsecret|secret|code|ticket)=[^&\s\"']+")


class _Garbage(logging.Filter):
    """What is no HTTP is refused with a 400 and one line: there is no bug to look for, and its bytes are a stranger's."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
            record.msg = f"{record.msg}: no HTTP that we understand"
        return True


class _Stderr:
    """Standard error as it is at each line: loggers are kept for ever, and whoever captures it may be gone by then."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(*, as_json: bool | None = None, level: int = logging.INFO) -> None:
    """JSON unless stderr is a terminal; libraries' own logs go the same way."""
    as_json = not sys.stderr.isatty() if as_json is None else as_json
    render: Any = structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.EventRenamer("evt") if as_json else _same, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    server = logging.getLogger("aiohttp.server")
    if not any(isinstance(each, _Garbage) for each in server.filters):
        server.addFilter(_Garbage())
    # APScheduler would log every tick.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def _same(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return line


def _redact(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in line.items():
        if _PRIVATE_KEYS.search(key) and value:
            line[key] = "***"
        elif isinstance(value, str):
            line[key] = _TOKEN.sub(r"\1=***", _PHONE.sub("***", value))
    return line
