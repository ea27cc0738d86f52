"""YAML with lines: what plain values mean, on which line each stands, and what a file that is none is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.documents import document
from autoscaler.documents.document import DocumentError, dotted, read_file, read_text


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
        ("\na: &x {b: *x}\n", "a.yaml:2: the value refers to itself"),
        ("[" * 5000, "a.yaml:1: is nested too deeply: at most 100 levels are read"),
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


@pytest.mark.parametrize("number", ["010", "-010", "+07", "00", "0888"])
def test_a_number_that_kubectl_reads_as_another_one_is_refused(number):
    (problem,) = problems(f"a:\n  b: {number}\n")
    assert problem.startswith(
        f"a.yaml:2: a.b: {number} is octal to kubectl and decimal in YAML 1.2: leave the zero out"
    )
    assert only(f'a: "{number}"\n').value == {"a": number}


# What stands there once and counts often: aliases and merge keys.


def bomb(levels, width):
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("levels", "width"), [(7, 10), (9, 9), (20, 2), (90, 2), (3, 400)])
def test_aliases_that_multiply_are_refused_at_once(levels, width):
    (problem,) = problems("\n" + bomb(levels, width))
    assert problem == "a.yaml:2: excessive aliasing: aliases would add more than 100,000 values"


def test_merge_keys_that_multiply_are_refused_too():
    large = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\n"
    (problem,) = problems(large + "".join(f"b{n}: {{<<: *a}}\n" for n in range(2000)))
    assert problem.endswith(": excessive aliasing: aliases would add more than 100,000 values")


def test_values_that_aliases_nest_too_deeply_are_refused():
    deep = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 150))
    assert problems(deep) == ["a.yaml:1: is nested too deeply: at most 100 levels are read"]


def test_what_people_share_by_aliases_is_read():
    shared = "- &x {" + ", ".join(f"k{n}: {n}" for n in range(50)) + "}\n"
    (document,) = read_text(shared + "- *x\n" * 1000, "a.yaml")
    assert document.value[1000] == document.value[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", {"x": 1, "y": 3}),
        ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\n", {"x": 1, "y": 3}),
        ("a: &a {x: 1}\nc: &c {x: 2, z: 3}\nb: {<<: [*a, *c]}\n", {"x": 1, "z": 3}),
        ("a: &a {x: 1}\nc: &c {<<: *a, z: 3}\nb: {<<: *c}\n", {"x": 1, "z": 3}),
        ("b: {<<: {x: 1}}\n", {"x": 1}),
        ('a: 1\nb: {"<<": {x: 1}}\n', {"<<": {"x": 1}}),
    ],
)
def test_a_merge_key_gives_what_is_not_written(text, value):
    assert only(text).value["b"] == value


def test_what_is_merged_stands_where_it_is_written():
    document = only("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n")
    assert (document.line(("b", "x")), document.line(("b", "y"))) == (2, 5)


@pytest.mark.parametrize("merged", ["5", "[5]", "text"])
def test_only_mappings_can_be_merged(merged):
    assert problems(f"a:\n  <<: {merged}\n") == ["a.yaml:2: <<: merges mappings only"]


def test_json_may_have_tabs_between_its_words_and_keeps_those_in_its_texts():
    assert only('{\n\t"a":\t[1,\n\t\t"b \\" \\t\tc"]\n}\n').value == {"a": [1, 'b " \t\tc']}


@pytest.mark.parametrize(
    "text",
    [
        "---\n{%s}\n",
        "# exported\n{%s}\n",
        "\t{%s}\t\n",
        "%%YAML 1.1\n---\n{%s}\n",
        '{%s} # a comment with a "\n',
    ],
)
def test_tabs_may_stand_in_json_wherever_it_begins(text):
    assert only(text % '\n\t"a"\t:\t1\t,\n\t"b": "\t"\n\t').value == {"a": 1, "b": "\t"}


def test_tabs_may_stand_where_no_indentation_is_meant():
    assert only("a:\t1\t# one\nb: [x,\t\n\ty]\t\nc:\t{d:\t2}\n").value == {"a": 1, "b": ["x", "y"], "c": {"d": 2}}


@pytest.mark.parametrize("between", ["", "\n", "\n\n", "\n---\n", "\n# another\n"])
def test_json_objects_may_follow_each_other(between):
    first, second = read_text(f'{{"a": 1}}{between}{{"a":\t2}}\n', "a.json")
    assert (first.value, second.value) == ({"a": 1}, {"a": 2})
    assert second.line(("a",)) == 1 + between.count("\n")


@pytest.mark.parametrize("text", ["a: 1\n{b: 2}\n", "[1]\n[2]\n", "{a: 1}\nb: 2\n"])
def test_nothing_else_may_follow_without_a_mark(text):
    assert "this is no YAML" in problems(text)[0]


def test_json_writes_a_character_in_two_halves_and_never_one_of_them():
    assert only(r'{"a": "\ud83d\ude00", "b": "\u00e9"}').value == {"a": "\U0001f600", "b": "\u00e9"}
    assert problems(r'{"a": "\ude00\ud83d"}') == ["a.yaml:1: a: is no !!str"]


# Files.


def test_a_file_that_is_too_large_is_refused_before_it_is_read_as_yaml(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "MOST_BYTES", 1 << 20)
    path = tmp_path / "large.yaml"
    path.write_text("a: " + "x" * (1 << 20))
    with pytest.raises(DocumentError, match=r"large\.yaml: has more than 1 MiB, which is the most that is read"):
        read_file(path)


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
