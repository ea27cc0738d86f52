"""docs/start/demo.md, typed word for word, and what it says of the live run beside a simulated one."""

from typing_pages import typed

MADE = ("make ",)
"""Tests of the Makefile and of the demo itself run these."""


def test_the_page_is_true_word_for_word(tmp_path):
    typed("start/demo.md", tmp_path, leave_out=MADE)
