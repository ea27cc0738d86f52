"""What we take for a selector is what Prometheus takes for one: only that can have a range."""

import http.client
import re
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.documents.promql import SELECTOR

pytestmark = [pytest.mark.program, pytest.mark.real_time]

escapes = st.sampled_from(
    [*(f"\\{char}" for char in "abfnrtv\\'\"`.d78xuU"), "\\x4a", "\\u00e4", "\\U0001F600", "\\101", "\\477"]
)
contents = st.lists(
    st.sampled_from(["", "b", "ä", " ", ",", "}", "{", "=", "\n", "#", "'", '"', "`"]) | escapes, max_size=3
).map("".join)
strings = st.builds(lambda quote, text: f"{quote}{text}{quote}", st.sampled_from("'\"`"), contents)
spaces = st.sampled_from(["", "", "", " ", "\n", "\t "])
matchers = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["a", "by", "b_1", "1", "c:d"]),
    spaces,
    st.sampled_from(["=", "!=", "==", "~"]),
    spaces,
    strings,
    spaces,
)
lists = st.lists(matchers, max_size=2).map(",".join)
braces = st.builds("{}{{{}{}{}}}".format, spaces, spaces, lists, st.sampled_from(["", "", ",", " , ", ",,"]))
selectors = st.builds("{}{}".format, st.sampled_from(["", "a", "a:b_1", "sum", "_", ":", "1a"]), st.just("") | braces)
AROUND = ("a-b", "up + 0", "-up", "up or up", "up offset 5m", "up @ 0", "up[1m]", "up)[1s:1s]", "up{a='b'} 1")


MEANINGLESS = b"at least one non-empty matcher"
"""How Prometheus refuses a selector of everything, when it has read it."""


def is_selector(prometheus, text):
    """Ask Prometheus; what could end the parenthesis is not asked."""
    connection = http.client.HTTPConnection(urlsplit(prometheus.server).netloc)
    try:
        query = urlencode({"query": f"last_over_time(\n{text}\n[1s])"})
        connection.request("POST", "/api/v1/query", query, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK or MEANINGLESS in answer.read()
    finally:
        connection.close()


@settings(max_examples=200)
@given(selectors)
def test_prometheus_and_we_take_the_same_texts_for_selectors(prometheus, text):
    if re.fullmatch(r"\s*\{\s*\}", text):
        return  # Prometheus reads it, and then refuses it as it selects everything
    assert bool(re.fullmatch(SELECTOR, text.strip(" \t\n"))) == is_selector(prometheus, text), text


@pytest.mark.parametrize("text", AROUND)
def test_neither_takes_what_has_anything_around_it(prometheus, text):
    assert re.fullmatch(SELECTOR, text) is None
    assert not is_selector(prometheus, text)
