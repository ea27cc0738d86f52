"""The address of a server: a server and nothing else, and never a password that is shown."""

import re
from urllib.parse import urlsplit

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents.prometheus_address import LONGEST, PATTERN, checked, place_of, public

LEGAL = [
    *("http://prometheus", "https://prometheus.monitoring.svc:9090", "http://10.0.0.1:65535/", "http://[::1]:9090"),
    *("https://thanos_query:1/team-a/prometheus", "http://prom/a%20b/c;e=f"),
]
ILLEGAL = [
    *("", "/", "prometheus:9090", "ftp://prometheus", "http://", "http://:9090", "http://..", "HTTP//a", "http:/a"),
    *("http://a?", "http://a#", "http://a/?namespace=a", "http://a/x#y", "http://a b", "http://a/b c", "http://a\\b"),
    *("http://a:0", "http://a:65536", "http://a:99999", "http://a:port", "http://a:", "http://[::1", "http://[g]"),
    *(
        "http://a\n",
        "http://a/\t",
        "http://a/\x00",
        "http://a/\x7f",
        "http://\u00e4",
        " http://a",
        "http://a/" + "b" * LONGEST,
    ),
    *("http://me@a", "http://me:secret@a", "http://me:se/cret@a", "http://:secret@a/b", "http://a:9090@b"),
]


@pytest.mark.parametrize("address", LEGAL)
def test_a_server_is_an_address(address):
    assert checked(address) == public(address) == address


@pytest.mark.parametrize("address", ILLEGAL)
def test_what_is_more_or_less_than_a_server_is_none_and_is_not_repeated(address):
    with pytest.raises(ValueError, match="must ") as caught:
        checked(address)
    assert "cret" not in str(caught.value)


pieces = (
    st.sampled_from([*"ahtp:/?#@[]%\\. \n\t", "http://", "https://", ":9090", "::1", "user", "%2f"]) | st.characters()
)


@given(st.lists(pieces, max_size=12).map(lambda found: "http://" + "".join(found)))
def test_whatever_is_legal_is_asked_at_its_host_and_below_its_path(address):
    try:
        checked(address)
    except ValueError:
        return
    asked = yarl.URL(f"{address.rstrip('/')}/api/v1/query")
    assert asked.raw_path.endswith("/api/v1/query")
    assert (asked.user, asked.query_string, asked.fragment) == (None, "", "")
    assert (asked.host or "").lower() == urlsplit(address).hostname


@given(st.text(alphabet="su:/@ .a?#", max_size=10), st.sampled_from(["http://h", "http://h:9090/p", "h"]))
def test_nothing_before_the_last_at_sign_is_shown(secret, host):
    shown = public(f"http://SECRET{secret}@{host.removeprefix('http://')}")
    assert "SECRET" not in shown


def test_the_definition_takes_the_same_addresses():
    for address in (*LEGAL, *(each for each in ILLEGAL if len(each) <= LONGEST)):
        assert bool(re.fullmatch(PATTERN, address)) == (address in LEGAL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://prometheus", "http://prometheus:80/"),
        ("https://Prometheus", "HTTPS://prometheus:443"),
        ("http://prometheus:9090/team/", "http://prometheus:9090/team"),
        ("http://[::1]:9090", "http://[::1]:9090/"),
        ("http://[::1]", "http://[::1]:80"),
    ],
)
def test_addresses_that_mean_the_same_are_the_same(one, other):
    assert place_of(one) == place_of(other)


@pytest.mark.parametrize(
    "other",
    ["https://prometheus:9090", "http://prometheus", "http://prometheus:9090/team", "http://me@prometheus:9090"],
)
def test_whatever_differs_is_another_server(other):
    assert place_of("http://prometheus:9090") != place_of(other)
