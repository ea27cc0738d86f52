"""File descriptors: the soft limit is raised, and clients leave some to pods and to those who observe."""

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.runtime.descriptors import RESERVED, for_clients

RAISED = "from autoscaler.runtime.descriptors import raise_limit; print(raise_limit())"


@pytest.mark.real_time
@pytest.mark.parametrize(("soft", "hard"), [(64, 256), (300, 300)])
def test_the_soft_limit_becomes_the_hard_one(soft, hard):
    found = subprocess.run(
        [sys.executable, "-c", RAISED],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        check=True,
    )
    assert int(found.stdout) == hard


@given(st.integers(1, 1 << 20))
def test_clients_and_what_is_reserved_never_take_all(limit):
    clients = for_clients(limit)
    assert clients >= 1
    assert clients + RESERVED < limit or limit <= RESERVED + 4
