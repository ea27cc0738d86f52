"""Durations, percentages and what every model of a document has in common."""

from typing import Annotated

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from autoscaler.documents.fields import (
    Duration,
    Percent,
    ResourceModel,
    WholeSeconds,
    between,
    exactly_one,
    format_duration,
    format_percent,
    lasting,
    parse_duration,
    parse_percent,
)

PLAIN_NUMBERS = st.decimals(0, 10**5, places=4, allow_nan=False).map(lambda number: f"{number.normalize():f}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("0s", 0.0),
        ("1.5m", 90.0),
        ("1s500ms", 1.5),
        ("10m", 600.0),
        ("720h", 2_592_000.0),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "30 s", "-1s", "+1s", "1d", "1e3s", "30S", "30s\n", " 30s", "1.s", ".5s", "3 days", 30, None],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="must be a duration such as 30s, 10m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "70", "%", "-1%", "70 %", "1e2%", "70%\n", "70%%", 0.7, None])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(ValueError, match="must be a percentage such as 70%"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (90.0, "90s"),
        (120.0, "2m"),
        (7200.0, "2h"),
        (1.5, "1.5s"),
        (0.1 + 0.2, "0.3s"),
        (1e-6, "0.000001s"),
        (123_456_789.5, "123456789.5s"),
    ],
)
def test_a_duration_is_written_as_people_write_it(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.07, "7%"), (1.0, "100%"), (0.125, "12.5%"), (0.0, "0%"), (1e-9, "0.0000001%")]
)
def test_a_ratio_is_written_as_people_write_it(ratio, text):
    assert format_percent(ratio) == text


@given(PLAIN_NUMBERS, st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_that_is_written_reads_as_the_same_one(number, unit):
    seconds = parse_duration(number + unit)
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-9)
    assert format_duration(parse_duration(format_duration(seconds))) == format_duration(seconds)


@given(PLAIN_NUMBERS)
def test_a_percentage_that_is_written_reads_as_the_same_one(number):
    assert format_percent(parse_percent(f"{number}%")) == f"{number}%"


@given(st.floats(0, 1e9))
@example(2.0**-1074)
@example(1e-7)
def test_whatever_is_written_can_be_read(value):
    assert parse_duration(format_duration(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert parse_percent(format_percent(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)


# Models.


class Inner(ResourceModel):
    some_number: int = 1


class Outer(ResourceModel):
    text: str | None = None
    flag: bool | None = None
    whole: Annotated[int, Field(ge=0)] | None = None
    real: float | None = None
    some_time: Annotated[Duration, lasting("1s", "1m")] = 30.0
    some_seconds: WholeSeconds | None = None
    share: Annotated[Percent, between("10%", "100%")] = 1.0
    items: tuple[int, ...] = ()
    inners: tuple[Inner, ...] | None = None
    inner: Inner = Inner()


def errors(value):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(value)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


def test_keys_are_in_camel_case_and_nothing_else():
    assert Outer.model_validate({"someTime": "10s", "inner": {"someNumber": 2}}).inner.some_number == 2
    assert errors({"some_time": "10s"}) == [("some_time", "extra_forbidden")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text", 3),
        ("text", True),
        ("flag", "yes"),
        ("flag", 1),
        ("whole", "3"),
        ("whole", True),
        ("whole", 3.5),
        ("real", "0.5"),
        ("real", True),
        ("real", float("inf")),
        ("real", float("nan")),
        ("someTime", 30),
        ("someTime", "61s"),
        ("someTime", "999ms"),
        ("someSeconds", "1.5s"),
        ("someSeconds", "9" * 400 + "s"),
        ("share", 0.5),
        ("share", "9.9%"),
        ("share", "9" * 400 + "%"),
        ("items", 3),
        ("items", {"a": 1}),
        ("items", ["3"]),
        ("inner", "a"),
        ("inner", [1]),
    ],
)
def test_a_value_of_another_type_is_refused_as_a_structural_schema_does(key, value):
    ((path, _),) = errors({key: value})
    assert path.split(".")[0] == key


def test_null_reads_as_absent_at_every_depth():
    written = {"text": None, "someTime": None, "inners": None, "inner": {"someNumber": None}}
    assert Outer.model_validate(written) == Outer()


def test_a_list_is_a_tuple_whether_it_may_be_absent_or_not():
    read = Outer.model_validate({"items": [1, 2], "inners": [{}, {"someNumber": 2}]})
    assert (read.items, read.inners) == ((1, 2), (Inner(), Inner.model_validate({"someNumber": 2})))


def test_a_whole_number_is_a_real_one_too():
    assert Outer.model_validate({"real": 2}).real == 2.0


@pytest.mark.parametrize("end", ["1s", "1m"])
def test_the_ends_of_a_range_belong_to_it(end):
    assert Outer.model_validate({"someTime": end}).some_time == parse_duration(end)


def test_a_model_that_is_dumped_is_the_document_it_was_read_from():
    written = {"someTime": "10s", "share": "50%", "items": [1], "inner": {"someNumber": 3}}
    assert Outer.model_validate(written).model_dump(mode="json", exclude_unset=True) == written


@pytest.mark.parametrize(
    ("given_keys", "said"),
    [
        ({}, "must have exactly one of text, someSeconds; has none"),
        ({"text": "a", "someSeconds": "1s"}, "must have exactly one of text, someSeconds; has text and someSeconds"),
    ],
)
def test_exactly_one_names_what_there_may_be_and_what_there_is(given_keys, said):
    with pytest.raises(ValueError, match=said):
        exactly_one(Outer.model_validate(given_keys), "text", "some_seconds")
