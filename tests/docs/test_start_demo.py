"""docs/start/demo.md, typed word for word; the demo that it ends with is as real, and shorter."""

import pytest
from typing_pages import typed

pytestmark = [pytest.mark.program, pytest.mark.real_time]

LONG = 'make demo ARGS="--policy my-policy.yaml"'
SHORT = "autoscaler demo --policy my-policy.yaml -n 6 -c 2 --speed 20 --service-time '4' --cold-start '4'"


def test_the_page_is_true_word_for_word(tmp_path):
    typed("start/demo.md", tmp_path, leave_out=["make demo"], instead={LONG: SHORT})
