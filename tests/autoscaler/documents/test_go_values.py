"""Values as Go's standard library reads them; every expectation was given by strconv and time of Go 1.26."""

import pytest

from autoscaler.documents.go_values import boolean, duration_ns, int32, number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("70", 70.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("+.5e-1", 0.05),
        ("1e3", 1000.0),
        ("1_000", 1000.0),
        ("5e-324", 5e-324),
        ("-1", -1.0),
    ],
)
def test_a_number_is_read(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", ".", "abc", " 1", "1 ", "1e", "_1", "1__0", "1_.5", "٣", "1e400", "1,5", "70%"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match="not a number"):
        number(text)


@pytest.mark.parametrize("text", ["Inf", "-infinity", "nan", "0x1p-2"])
def test_what_no_scale_can_be_set_with_is_refused_though_go_reads_it(text):
    with pytest.raises(ValueError, match="not a number"):
        number(text)


@pytest.mark.parametrize(
    ("text", "value"), [("+5", 5), ("05", 5), ("-0", 0), ("2147483647", 2147483647), ("-2147483648", -2147483648)]
)
def test_a_whole_number_is_read(text, value):
    assert int32(text) == value


@pytest.mark.parametrize("text", ["", "5.0", "1_0", "0x5", "2147483648", "-2147483649", " 1", "٣"])
def test_what_is_no_whole_number_of_32_bits_is_refused(text):
    with pytest.raises(ValueError, match="not a whole number of 32 bits"):
        int32(text)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true_has_six_spellings(text):
    assert boolean(text)
    assert not boolean({"1": "0", "t": "f", "T": "F", "true": "false", "TRUE": "FALSE", "True": "False"}[text])


@pytest.mark.parametrize("text", ["", "yes", "tRUE", "on", " true"])
def test_no_other_word_is_a_truth_value(text):
    with pytest.raises(ValueError, match="neither true nor false"):
        boolean(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-1.5h", -5_400_000_000_000),
        ("+5s", 5_000_000_000),
        ("1m1m", 120_000_000_000),
        ("1.0000000001s", 1_000_000_000),
        ("1us", 1000),
        ("1\u00b5s", 1000),
        ("1\u03bcs", 1000),
        ("2562047h", 9_223_369_200_000_000_000),
    ],
)
def test_a_duration_is_read(text, ns):
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "s", ".s", "1", "00", "1 s", "3 days", "1d", "5s ", "--5s", "1hm"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        duration_ns(text)


def test_a_duration_that_go_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="longer than 292 years"):
        duration_ns("3000000h")
