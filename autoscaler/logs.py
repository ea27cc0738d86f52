"""Log lines: one JSON object each for those who collect them, plain text at a terminal."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

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


def log_to_stderr() -> None:
    """Log what is worth knowing while all is well, and more."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(_PLAIN) if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
