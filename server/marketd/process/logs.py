"""Logging: events with fields on standard error, as JSON lines for machines or in colour for a terminal.

What libraries say through the standard library's logging comes in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import structlog

from marketd.kernel.db.database import without_rows


def configure(level: str, form: str) -> None:
    """Set structlog and the standard library up alike. `form`: json, console, or auto (console on a terminal)."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Traces name code, never values: exc_info is rendered without the frames' locals, and errors without rows.
        structlog.processors.format_exc_info,
        _drop_rows,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Libraries speak up when something is odd, whatever the level of our own events.
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])


def accept_only(accept: Callable[[logging.LogRecord], bool]) -> None:
    """Write only those of the libraries' records that this takes. Call after `configure`."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(accept)


def access_line(text: str) -> None:
    """Write whole access-log lines."""
    sys.stderr.write(text)


def _drop_rows(
    logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    exception = event.get("exception")
    if isinstance(exception, str):
        event["exception"] = without_rows(exception)
    return event
