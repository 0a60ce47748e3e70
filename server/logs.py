"""The server's log: structured, to standard error, as text or JSON lines."""

import logging
import sys
from typing import Literal

import msgspec
import structlog


def configure_logs(log_format: Literal["text", "json"]) -> None:
    """Set the one log of this process up."""
    # That a job is still at work when its time comes again is no news.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    render: structlog.typing.Processor
    if log_format == "json":
        render = structlog.processors.JSONRenderer(
            lambda event, **_: msgspec.json.encode(event, enc_hook=str).decode()
        )
    else:
        render = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
