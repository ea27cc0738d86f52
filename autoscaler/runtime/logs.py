"""Logging to standard error: JSON lines, or plain text at a terminal; logging never blocks."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from autoscaler.runtime.background_writer import BackgroundWriter

_STDERR = 2
_PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """Writes time, level, logger, message, and the `fields` that a call gave as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Give one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class BackgroundHandler(logging.Handler):
    """Passes log lines to a thread that writes them to standard error, so that a stalled reader does not block us.

    Attributes:
        writer: writes the lines, and counts lost ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writer = BackgroundWriter(_STDERR, "the log")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line later."""
        self.writer.offer(f"{self.format(record)}\n")

    def close(self) -> None:
        """Write the waiting lines; `logging` calls this when the process ends."""
        self.writer.close()
        super().close()


def log_to_stderr() -> BackgroundWriter:
    """Log from level INFO on; gives the writer."""
    handler = BackgroundHandler()
    handler.setFormatter(logging.Formatter(_PLAIN) if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return handler.writer
