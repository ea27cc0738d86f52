import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.dispatch.dispatcher import SlotUse
from autoscaler.gateway.dispatch.path_rules import EVERYTHING_COUNTS, PathRule, PathRules
from autoscaler.gateway.http.headers import read_request

REFERENCE = PathRules(
    [
        PathRule(("/sdapi/v1/txt2img", "/sdapi/v1/extra-*", "/sdapi/v1/interrogate")),
        PathRule(("/run/predict", "/queue/join")),
        PathRule(("/favicon.ico", "/robots.txt"), SlotUse.PASS, wake=False),
        PathRule(("/*",), SlotUse.PASS, max_per_pod=64),
    ]
)


@pytest.mark.parametrize(
    ("target", "kind", "wake"),
    [
        ("/sdapi/v1/txt2img", SlotUse.COUNT, True),
        ("/sdapi/v1/txt2img?x=1", SlotUse.COUNT, True),
        ("/sdapi/v1/extra-single-image", SlotUse.COUNT, True),
        ("/sdapi/v1/progress?skip_current_image=false", SlotUse.PASS, True),
        ("/sdapi/v1/txt2img/", SlotUse.PASS, True),
        ("/", SlotUse.PASS, True),
        ("/favicon.ico", SlotUse.PASS, False),
        ("/file=a/b.png", SlotUse.PASS, True),
    ],
)
def test_the_paths_of_the_reference_service(target, kind, wake):
    rule = REFERENCE.find(target)
    assert (rule.kind, rule.wake) == (kind, wake)


def test_a_path_is_matched_as_it_came():
    rules = PathRules([PathRule(("/a/b",), SlotUse.PASS), PathRule(("/[x].y",), SlotUse.PASS)])
    assert rules.find("/a%2Fb") is EVERYTHING_COUNTS
    assert rules.find("/a/./b") is EVERYTHING_COUNTS
    assert rules.find("/A/b") is EVERYTHING_COUNTS
    assert rules.find("/[x].y").kind is SlotUse.PASS
    assert rules.find("/x.y") is EVERYTHING_COUNTS


def test_a_star_stands_for_slashes_and_for_nothing_at_all():
    rules = PathRules([PathRule(("/a*z",), SlotUse.PASS)])
    assert rules.find("/az").kind is SlotUse.PASS
    assert rules.find("/a/b/\nz").kind is SlotUse.PASS
    assert rules.find("/a/zy") is EVERYTHING_COUNTS


def test_without_rules_everything_counts():
    assert PathRules([]).find("/x") is EVERYTHING_COUNTS


@pytest.mark.parametrize(
    "spelling",
    [
        "/sdapi/v1/%74xt2img",
        "/%73%64%61%70%69/v1/txt2%69mg?x=/",
        "/sdapi/v1/txt2img#fragment",
        "/sdapi/v1/txt2img?",
        "//sdapi/v1/txt2img",
        "/sdapi///v1//txt2img",
        "/sdapi%2Fv1%2ftxt2img",
        "/sdapi%5Cv1\\txt2img",
        "/SDAPI/V1/TXT2IMG",
        "/sdapi/v1/txt2img;session=1",
        "/sdapi;a;b=c/v1;/txt2img",
        "/sdapi/./v1/txt2img",
        "/./sdapi/v1/txt2img",
        "/sdapi/%2e/v1/%2E/txt2img",
        "/x/../sdapi/v1/txt2img",
        "/x/%2e%2E/sdapi/v1/y/.%2e/txt2img",
        "/../../sdapi/v1/txt2img",
        "/sdapi/v1/txt2img/x/..",
        "/sdapi/v1/txt2img/.",
        "/sdapi//../v1/txt2img",
        "/sdapi/..;a/../v1/txt2img",
        "/sdapi/x%2Fy/../v1/txt2img",
        "/x#/../sdapi/v1/txt2img",
        "/sdapi;#/v1/txt2img#",
        "/sdapi/;%2f../v1/txt2img",
        "/x\\..\\sdapi/v1/txt2img",
    ],
)
def test_a_counted_path_counts_however_it_is_spelt(spelling):
    assert REFERENCE.find(spelling).kind is SlotUse.COUNT


@pytest.mark.parametrize(
    "path",
    [
        "/sdapi/v1/txt2img/",
        "/sdapi/v1/progress",
        "//sdapi/v1/progress",
        "/sdapi/v1/%70rogress;x",
        "/?/sdapi/v1/txt2img",
        "/file=http://h/a;b/C.png",
        "/file=%2Ftmp%2Fa.png",
        "/../../etc/passwd",
        "/%E4%BD%A0",
    ],
)
def test_a_path_that_no_server_reads_as_a_counted_one_passes(path):
    assert REFERENCE.find(path).kind is SlotUse.PASS


def test_a_spelling_that_passes_under_one_rule_and_counts_under_another_counts():
    rules = PathRules([PathRule(("/static/*",), SlotUse.PASS)])
    assert rules.find("/static/a.css").kind is SlotUse.PASS
    assert rules.find("/static/../generate") is EVERYTHING_COUNTS
    assert rules.find("/static%2F..%2Fgenerate") is EVERYTHING_COUNTS


def test_of_two_rules_that_pass_the_stricter_one_holds():
    tight, loose = PathRule(("/slow",), SlotUse.PASS, max_per_pod=1), PathRule(("/*",), SlotUse.PASS, max_per_pod=64)
    rules = PathRules([tight, loose])
    assert rules.find("//slow") is tight
    assert rules.find("/fast") is loose


def test_a_pattern_is_read_in_the_same_way_as_a_path():
    rules = PathRules(
        [PathRule(("/%74xt", "/生成", "/a%2fb", "/a{b}", "/C/d"), SlotUse.COUNT), PathRule(("/*",), SlotUse.PASS)]
    )
    for path in ["/txt", "/%E7%94%9F%E6%88%90", "/%e7%94%9f%e6%88%90", "/a%2Fb", "/a%7Bb%7D", "/C/d", "/c/D"]:
        assert rules.find(path).kind is SlotUse.COUNT


def test_what_asks_the_server_itself_takes_no_slot_and_starts_no_pod():
    rule = PathRules([PathRule(("/*",))]).find("*")
    assert (rule.kind, rule.wake) == (SlotUse.PASS, False)


SEGMENTS = st.lists(
    st.sampled_from(["sdapi", "v1", "txt2img", "img2img", "extra-x", "run", "predict", "progress"]), max_size=4
)


def spelt(draw, path):
    """Write a path in a way that some server reads as the path itself."""
    written = ""
    for character in path:
        how = draw(st.sampled_from(["as it is"] * 4 + ["encoded", "lower hex", "upper case"]))
        encoded = f"%{ord(character):02X}"
        written += {"encoded": encoded, "lower hex": encoded.lower(), "upper case": character.upper()}.get(
            how, character
        )
        if character == "/":
            written += draw(st.sampled_from([""] * 4 + ["/", "./", "x/../", "x;y/%2e%2E/", "%2F", ";p/", "../"]))
    return written + draw(st.sampled_from(["", "?", "?/x", "#", "#/y", ";p=1", "?;#"]))


@given(st.data(), SEGMENTS)
def test_every_spelling_of_a_counted_path_counts(data, segments):
    path = "/" + "/".join(segments)
    spelling = spelt(data.draw, path)
    if REFERENCE.find(path).kind is SlotUse.COUNT:
        assert REFERENCE.find(spelling).kind is SlotUse.COUNT


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4))
def test_any_path_and_any_pattern_have_a_rule(path, patterns):
    rules = PathRules([PathRule(tuple(patterns), SlotUse.PASS)])
    assert rules.find(path).kind in SlotUse


def test_nothing_is_kept_of_the_paths_and_hosts_that_strangers_ask_for():
    rules = PathRules([PathRule(("/a*b", "/%41/*"), SlotUse.PASS), PathRule(("/*",), SlotUse.PASS)])

    def ask(number):
        path = f"/{number}/%41//;x" + "y" * 4000
        rules.find(path)
        host = f"h{number}.example.com".encode()
        assert read_request(b"GET", path.encode(), [(b"Host", host)], {b"host": [host]}).host == host.decode()

    ask(-1)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(300):
            ask(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
