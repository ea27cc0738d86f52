"""YAML with lines: what plain values mean, on which line each stands, and what a file that is none is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents import DocumentError, dotted, read_file, read_text


def only(text):
    (document,) = read_text(text, "a.yaml")
    return document


def problems(text):
    with pytest.raises(DocumentError) as caught:
        read_text(text, "a.yaml")
    return caught.value.problems


# What plain values mean.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("10:30", "10:30"),
        ("010", 10),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.INF", float("-inf")),
        ("2001-01-01", "2001-01-01"),
        ("30s", "30s"),
        ("100%", "100%"),
        ("null", None),
        ("~", None),
        ("", None),
        ("<<", "<<"),
        ('"3"', "3"),
        ("!!str 3", "3"),
        ("!!int '3'", 3),
    ],
)
def test_plain_values_mean_what_yaml_1_2_says(text, value):
    read = only(f"key: {text}\n").value["key"]
    assert (type(read), read) == (type(value), value)


def test_not_a_number_is_read_as_one_so_that_the_model_can_refuse_it():
    read = only("key: .nan\n").value["key"]
    assert read != read  # noqa: PLR0124


# Where they stand.


def test_every_key_and_item_has_the_line_it_stands_on():
    document = only("# a comment\na:\n  b: [1,\n      2]\nc:\n  - d: 3\n  - 4\n")
    lines = {dotted(path): line for path, line in document.lines.items()}
    assert lines == {"": 2, "a": 2, "a.b": 3, "a.b[0]": 3, "a.b[1]": 4, "c": 5, "c[0]": 6, "c[0].d": 6, "c[1]": 7}


def test_what_is_not_there_has_the_line_of_what_is_above_it():
    document = only("\na:\n  b: 1\n")
    assert document.line(("a", "b", "c", 0)) == 3
    assert document.line(("a", "x")) == 2
    assert document.line(("y",)) == 2


def test_a_value_is_found_by_its_path_and_none_where_nothing_is():
    document = only("a: [{b: 1}]\n")
    assert document.value_at(("a", 0, "b")) == 1
    assert [document.value_at(path) for path in [("a", 1), ("a", "b"), ("a", 0, "b", "c"), ("x",)]] == [None] * 4


def test_each_document_of_a_file_counts_its_lines_from_the_top_of_the_file():
    first, second = read_text("a: 1\n---\n---\n# nothing\n---\nb: 2\n", "a.yaml")
    assert (first.value, first.line(("a",))) == ({"a": 1}, 1)
    assert (second.value, second.line(("b",))) == ({"b": 2}, 6)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n---\n", "\ufeff"])
def test_what_has_no_document_has_none(text):
    assert read_text(text, "a.yaml") == []


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    assert only("\ufeffa: 1\n").value == {"a": 1}


def test_an_anchor_stands_for_its_value():
    assert only("a: &x {b: 1}\nc: *x\n").value == {"a": {"b": 1}, "c": {"b": 1}}


# What is no YAML.


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1\n", "a.yaml:2: this is no YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\t- b\n", "a.yaml:2: this is no YAML: found character '\\t' that cannot start any token"),
        ("a: 'b\n", "a.yaml:2: this is no YAML: found unexpected end of stream"),
        ("a: b: c\n", "a.yaml:1: this is no YAML: mapping values are not allowed here"),
        ("a: 1\n b: 2\n", "a.yaml:2: this is no YAML: mapping values are not allowed here"),
        ("a: *x\n", "a.yaml:1: this is no YAML: found undefined alias 'x'"),
        ("? [a]\n: b\n", "a.yaml:1: this is no YAML: found unhashable key"),
        (f"\na: {'9' * 5000}\n", "a.yaml:2: this is no YAML: a number of too many digits"),
        ("a: &x {b: *x}\n", "a.yaml: is nested too deeply, or refers to itself"),
        ("[" * 5000, "a.yaml: is nested too deeply, or refers to itself"),
        ("a:\n  b: !!int five\n", "a.yaml:2: a.b: is no !!int"),
        ("a: !!float [1]\n", "a.yaml:1: a: is no !!float"),
        ("!!bool maybe\n", "a.yaml:1: document: is no !!bool"),
        ("a: !!timestamp today\n", "a.yaml:1: a: is no !!timestamp"),
        ("a: !!python/object:os.system {}\n", "a.yaml:1: a: is no !!python/object:os.system"),
        ("a: !secret b\n", "a.yaml:1: a: is no !secret"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3: a: said twice, first on line 1"),
        ("a:\n- b: 1\n  b: 2\n", "a.yaml:3: a[0].b: said twice, first on line 2"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text, problem):
    assert problems(text) == [problem]


def test_every_key_that_is_said_twice_is_told():
    assert problems("a: {b: 1, b: 2}\nc: 1\nc: 1\n") == [
        "a.yaml:1: a.b: said twice, first on line 1",
        "a.yaml:3: c: said twice, first on line 2",
    ]


def test_a_character_that_yaml_forbids_is_told():
    (problem,) = problems("a: \0\n")
    assert problem.startswith("a.yaml: this is no YAML: unacceptable character #x0000")


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else(text):
    assert all(line >= 1 for line in lines_or_refusals(text))


def lines_or_refusals(text):
    try:
        return [document.line(()) for document in read_text(text, "a.yaml")]
    except DocumentError as error:
        return [problem.startswith("a.yaml:") for problem in error.problems]


# Files.


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", bytes(range(128, 200))])
def test_a_binary_file_is_told_as_such(tmp_path, content):
    path = tmp_path / "policy.yaml"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"policy\.yaml: cannot be read: .*utf-8"):
        read_file(path)


def test_a_file_that_is_not_there_is_told_and_so_is_a_folder(tmp_path):
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: .*No such file"):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(DocumentError, match=r"cannot be read: .*directory"):
        read_file(tmp_path)
