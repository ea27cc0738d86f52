import pytest
from formats import compare_file
from golden import describe

pytestmark = pytest.mark.slow


def test_a_golden_file_agrees_in_every_value(golden_file, record_property):
    comparison = compare_file(golden_file.path)
    record_property("golden", f"{golden_file.name}: {describe(comparison)}")
    record_property("compared", comparison.compared)
    assert comparison.first_difference is None
    assert comparison.compared or comparison.not_compared, "there was nothing to compare"
