"""Errors as text for people: one short line that names the kind."""

from autoscaler.runtime.errors import described


def test_an_error_is_one_line_with_its_kind():
    assert described(ValueError("two\n  lines")) == "ValueError: two lines"


def test_a_long_error_is_cut():
    assert described(ValueError("x" * 1000)) == f"ValueError: {'x' * 188}"
