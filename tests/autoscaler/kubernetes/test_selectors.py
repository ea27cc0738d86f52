import pytest

from autoscaler.kubernetes.selectors import SelectorIndex, from_object, from_text, matches

WEB = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("app=web", WEB, True),
        ("app==web", WEB, True),
        ("app=web", {"app": "other"}, False),
        ("app=web,tier=front", WEB, True),
        ("app=web,tier=back", WEB, False),
        ("app!=web", WEB, False),
        ("app!=other", WEB, True),
        ("other!=web", WEB, True),
        ("tier in (front, back)", WEB, True),
        ("tier in (back)", WEB, False),
        ("tier notin (back),app=web", WEB, True),
        ("other notin (back)", WEB, True),
        ("tier notin (front)", WEB, False),
        ("app", WEB, True),
        ("other", WEB, False),
        ("!other", WEB, True),
        ("!app", WEB, False),
        ("example.com/a-b_c=", {"example.com/a-b_c": ""}, True),
    ],
)
def test_a_written_selector_selects_as_kubernetes_does(text, labels, selected):
    assert matches(from_text(text), labels) is selected


def test_a_selector_of_an_object_is_that_of_its_text():
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front", "back"]},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert from_object(selector) == from_text("app=web,tier in (front,back),!old")


@pytest.mark.parametrize("nothing", [from_text(""), from_object({}), from_object({"matchLabels": None})])
def test_an_empty_selector_selects_nothing_for_it_would_be_everybodys_pods(nothing):
    assert not matches(nothing, WEB)


@pytest.mark.parametrize("text", ["a=b,,c=d", "a in b", "=", "a=b c=d"])
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(ValueError, match="no label selector"):
        from_text(text)


SELECTORS = ["app=web", "app in (web, db)", "tier=front,app!=db", "app", "!tier", "app notin (web)", ""]
LABELS = [WEB, {"app": "db"}, {"tier": "front"}, {"app": "web"}, {}]


def test_who_selects_a_pod_is_found_as_if_everybody_had_been_asked():
    index = SelectorIndex()
    for text in SELECTORS:
        index.set(text, from_text(text))
    for labels in LABELS:
        assert set(index.selecting(labels)) == {text for text in SELECTORS if matches(from_text(text), labels)}


def test_who_selects_something_else_no_longer_selects_what_was_before():
    index = SelectorIndex()
    for text in SELECTORS:
        index.set("one", from_text(text))
        assert [index.selecting(labels) == ["one"] for labels in LABELS] == [
            matches(from_text(text), labels) for labels in LABELS
        ]
