"""The memory that a process may have, as control groups of both versions say it."""

import pytest

from autoscaler.runtime import memory
from autoscaler.runtime.memory import limit_bytes, resident_bytes

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 GiB whose control groups say what the test writes."""
    monkeypatch.setattr(memory, "_ALL_BYTES", 64 << 30)
    own = tmp_path / "own"

    def limit(said, **files):
        own.write_text(said)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return limit_bytes(tmp_path / "cgroup", own)

    return limit


def test_version_two_says_it_in_the_process_own_group(machine):
    assert machine("0::/pod/container\n", pod__container__memory_dot_max=f"{512 * MIB}\n") == 512 * MIB


def test_the_least_limit_of_all_groups_above_holds(machine):
    files = {"pod__memory_dot_max": f"{256 * MIB}\n", "pod__container__memory_dot_max": f"{512 * MIB}\n"}
    assert machine("0::/pod/container\n", **files, memory_dot_max="max\n") == 256 * MIB


def test_a_container_that_sees_its_own_group_as_the_root_finds_it_there(machine):
    assert machine("0::/\n", memory_dot_max=f"{MIB}\n") == MIB
    assert machine("4:memory:/kubepods/a\n", **{"memory__memory.limit_in_bytes": f"{2 * MIB}\n"}) == 2 * MIB


def test_version_one_says_it_in_the_group_of_its_memory_controller(machine):
    said = "5:devices:/x\n4:cpu,memory:/a/b\n0::/\n"
    assert machine(said, **{"memory__a__b__memory.limit_in_bytes": f"{MIB}\n"}) == MIB


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", f"{64 << 30}\n", ""])
def test_what_is_no_limit_below_the_machines_memory_is_none(machine, text):
    assert machine("0::/\n", memory_dot_max=text) is None


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path):
    assert limit_bytes(tmp_path / "none", tmp_path / "none") is None


def test_what_is_in_use_grows_with_what_is_kept():
    before = resident_bytes()
    kept = bytearray(32 * MIB)
    kept[:: 1 << 12] = b"x" * len(kept[:: 1 << 12])
    assert resident_bytes() - before > 24 * MIB
    del kept
    memory.trim()
