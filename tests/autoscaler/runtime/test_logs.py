"""What a log line says to those who collect them, and to a person at a terminal."""

import json
import logging
import sys

import pytest

from autoscaler.runtime.logs import JsonLines, log_to_stderr


def made(message="%d pods", *arguments, error=None, **extra):
    record = logging.LogRecord("autoscaler.x", logging.WARNING, "x.py", 1, message, arguments, error)
    record.created = 1_700_000_000.25
    vars(record).update(extra)
    return json.loads(JsonLines().format(record))


def test_a_line_is_an_object_with_time_level_logger_message_and_the_fields_it_was_given():
    assert made("%d pods\nof %s", 5, "ä", fields={"service": "default/sd"}) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "WARNING",
        "logger": "autoscaler.x",
        "message": "5 pods\nof ä",
        "service": "default/sd",
    }


def test_an_error_comes_with_its_traceback():
    error = OSError("no space left")
    assert made("it fails", error=(type(error), error, None))["exception"] == "OSError: no space left"


@pytest.mark.parametrize(("terminal", "begins"), [(True, "20"), (False, '{"time": "20')])
def test_plain_text_is_for_terminals(monkeypatch, capfd, terminal, begins):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    writer = log_to_stderr()
    logging.getLogger("autoscaler.x").info("hello")
    writer.close()
    assert capfd.readouterr().err.startswith(begins)
