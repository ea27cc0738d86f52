"""Whatever the input has is in the output or in the report."""

import pytest
from convert_kit import DATA, conversion_of, lost

READABLE = ["01", "02", "03", "05", "06", "07", "09", "10", "11", "12", "reference"]
"""The files of tests/data/convert that can be converted, by the beginnings of their names."""


@pytest.mark.parametrize("name", READABLE)
def test_no_value_is_lost_silently(name):
    (path,) = DATA.glob(f"{name}*.yaml")
    text = path.read_text()
    assert lost(text, conversion_of(text)) == []
