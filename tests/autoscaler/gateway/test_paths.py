import pytest

from autoscaler.gateway.dispatch import Kind
from autoscaler.gateway.paths import EVERYTHING_COUNTS, PathRule, PathRules

REFERENCE = PathRules(
    [
        PathRule(("/sdapi/v1/txt2img", "/sdapi/v1/extra-*", "/sdapi/v1/interrogate")),
        PathRule(("/run/predict", "/queue/join")),
        PathRule(("/favicon.ico", "/robots.txt"), Kind.PASS, wake=False),
        PathRule(("/*",), Kind.PASS, max_per_pod=64),
    ]
)


@pytest.mark.parametrize(
    ("target", "kind", "wake"),
    [
        ("/sdapi/v1/txt2img", Kind.COUNT, True),
        ("/sdapi/v1/txt2img?x=1", Kind.COUNT, True),
        ("/sdapi/v1/extra-single-image", Kind.COUNT, True),
        ("/sdapi/v1/progress?skip_current_image=false", Kind.PASS, True),
        ("/sdapi/v1/txt2img/", Kind.PASS, True),
        ("/", Kind.PASS, True),
        ("/favicon.ico", Kind.PASS, False),
        ("/file=a/b.png", Kind.PASS, True),
    ],
)
def test_the_paths_of_the_reference_service(target, kind, wake):
    rule = REFERENCE.find(target)
    assert (rule.kind, rule.wake) == (kind, wake)


def test_a_path_is_matched_as_it_came():
    rules = PathRules([PathRule(("/a/b",), Kind.PASS), PathRule(("/[x].y",), Kind.PASS)])
    assert rules.find("/a%2Fb") is EVERYTHING_COUNTS
    assert rules.find("/a/./b") is EVERYTHING_COUNTS
    assert rules.find("/A/b") is EVERYTHING_COUNTS
    assert rules.find("/[x].y").kind is Kind.PASS
    assert rules.find("/x.y") is EVERYTHING_COUNTS


def test_a_star_stands_for_slashes_and_for_nothing_at_all():
    rules = PathRules([PathRule(("/a*z",), Kind.PASS)])
    assert rules.find("/az").kind is Kind.PASS
    assert rules.find("/a/b/\nz").kind is Kind.PASS
    assert rules.find("/a/zy") is EVERYTHING_COUNTS


def test_without_rules_everything_counts():
    assert PathRules([]).find("/x") is EVERYTHING_COUNTS


def test_ever_new_paths_do_not_fill_the_memory():
    rules = PathRules([PathRule(("/*",), Kind.PASS)])
    for n in range(10_000):
        rules.find(f"/{n}")
    assert len(rules._found) <= 4096
