"""Gateways come and go; their names outlive them by the look-back, and no longer."""

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.sources.known_gateways import LOOK_BACK_S, KnownGateways

updates = st.tuples(st.floats(0, 2 * LOOK_BACK_S), st.sets(st.sampled_from("abc")))


@given(st.lists(updates, max_size=20), st.floats(0, 2 * LOOK_BACK_S))
def test_those_are_known_that_were_here_within_the_look_back(history, later_s):
    now_s, here, last_here_s = 0.0, set(), {}
    known = KnownGateways(lambda: now_s)
    for passed_s, names in history:
        now_s += passed_s
        last_here_s |= dict.fromkeys(here, now_s)
        here = names
        known.set(names)
    now_s += later_s
    lately = {name for name, at_s in last_here_s.items() if at_s >= now_s - LOOK_BACK_S}
    assert known.names() == here | lately
