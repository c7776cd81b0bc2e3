"""Structured logs: one JSON object a line, in a file of bounded size. Secrets are never given to a logger."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

import structlog

from shards.node.faults import BadConfiguration

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

MAX_LOG_BYTES = 16 * 2**20
KEPT_LOGS = 3
"""64 MiB of log per validator at most: a week of an idle one, the last hours of one in trouble."""

MAX_TEXT = 2000
"""Characters of one field; a peer's words are shown, not stored at its pleasure."""

LOUD_NOTES: Final = frozenset({"blame", "conflicting_certificates", "journal_lost", "signing_again", "split_result"})
"""What somebody should look at: a validator is faulty, perhaps this one."""

Log = structlog.typing.FilteringBoundLogger


@contextmanager
def open_log(path: Path, level: str) -> Iterator[Log]:
    """Logger that appends to `path` while the `with` block lasts; raises `BadConfiguration`."""
    if level not in LEVELS:
        raise BadConfiguration(f"unknown log level {level!r}; use one of {', '.join(LEVELS)}")
    try:
        handler = RotatingFileHandler(path, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_LOGS, encoding="utf-8")
    except OSError as error:
        raise BadConfiguration(f"cannot write the log {path}: {error.strerror}") from error
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger(str(path), LEVELS[level])  # noqa: LOG001 - outside logging's global tree: each node has its own
    logger.addHandler(handler)
    try:
        yield _wrap(logger, LEVELS[level])
    finally:
        handler.close()


def _wrap(logger: logging.Logger, level: int) -> Log:
    log: Log = structlog.wrap_logger(
        logger,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _shorten,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log


def _shorten(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Cut long texts, and show bytes as hexadecimal."""
    for key, value in event.items():
        if isinstance(value, bytes):
            value = value.hex()
            event[key] = value
        if isinstance(value, str) and len(value) > MAX_TEXT:
            event[key] = value[:MAX_TEXT] + "…"
    return event
