"""Options from the command line and the environment."""

import argparse

import pytest

from autoscaler.commands.options import adder, memory


def parsed(words, **options):
    parser = argparse.ArgumentParser(exit_on_error=False)
    adder(parser)("--keep-it", **options)
    return parser.parse_args(words).keep_it


def test_the_environment_gives_the_default_and_the_command_line_wins(monkeypatch):
    monkeypatch.setenv("INFLIGHT_KEEP_IT", "3")
    assert parsed([], type=int, default=1) == 3
    assert parsed(["--keep-it=4"], type=int, default=1) == 4
    assert parsed([], type=int, required=True) == 3
    assert parsed([], action="append") == ["3"]


def test_without_either_the_default_holds_and_what_is_required_is_asked_for():
    assert parsed([], default=1) == 1
    assert parsed([], action="append") == []
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed([], required=True)


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("512Mi", 512 << 20), ("2Gi", 2 << 30), ("7Ki", 7 << 10)])
def test_memory_is_said_in_the_units_of_kubernetes(text, number):
    assert memory(text) == number


@pytest.mark.parametrize("text", ["", "Mi", "0", "-1Gi", "1.5Gi", "1GB", "1iM", "1 Gi", "nan", "1MiMi", "1e3"])
def test_anything_else_is_no_amount_of_memory(text):
    with pytest.raises(ValueError, match="must be an amount of memory"):
        memory(text)
