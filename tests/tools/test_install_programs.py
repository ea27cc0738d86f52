"""The installer with an apt-get and a dpkg-deb of a few lines of shell; `make programs` meets the real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_time

INSTALLER = Path(__file__).parent.parent.parent / "tools" / "programs.py"

APT_GET = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
    *update) touch "$LISTS" ;;
    *download*) [ -e "$LISTS" ] && touch hey_0.1.4_amd64.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
/bin/mkdir -p "$3/usr/bin"
printf '#!/bin/sh\\nexit %s\\n' "${STATUS:-0}" > "$3/usr/bin/hey"
/bin/chmod 755 "$3/usr/bin/hey"
"""


@pytest.fixture
def system(tmp_path):
    """Give the environment of a system with an apt-get and no Go."""
    (tmp_path / "bin").mkdir()
    for name, script in {"apt-get": APT_GET, "dpkg-deb": DPKG_DEB}.items():
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin" / "touch").symlink_to("/bin/touch")
    (lists := tmp_path / "lists").touch()
    ours = {"PATH": tmp_path / "bin", "XDG_CACHE_HOME": tmp_path / "cache", "LISTS": lists, "LOG": tmp_path / "log"}
    return {name: value for name, value in os.environ.items() if name != "HEY"} | {k: str(v) for k, v in ours.items()}


def start(system, *names):
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, INSTALLER, *names], env=system, stdout=pipe, stderr=pipe, text=True)


def install(system, *names):
    running = start(system, *names)
    out, err = running.communicate()
    return running.returncode, out, err


def calls(system):
    return [line.split(" ", 2)[2] for line in Path(system["LOG"]).read_text().splitlines()]


def test_a_program_is_unpacked_into_the_cache_folder_once(system, tmp_path):
    program = tmp_path / "cache" / "inflight" / "bin" / "hey"
    for _ in range(2):
        status, out, _ = install(system, "hey")
        assert (status, out.splitlines()[-1]) == (0, f"hey: {program}")
    assert subprocess.run([program], check=False).returncode == 0
    assert calls(system) == ["download hey"]


def test_where_the_lists_of_packages_are_missing_private_ones_are_fetched(system, tmp_path):
    (tmp_path / "lists").unlink()
    assert install(system, "hey")[0] == 0
    assert calls(system) == ["download hey", "update", "download hey"]


def test_of_two_at_once_the_second_finds_what_the_first_made(system):
    both = [start(system, "hey"), start(system, "hey")]
    assert [running.communicate()[1] for running in both] == ["", ""]
    assert calls(system) == ["download hey"]


def test_nothing_is_left_behind_but_what_was_asked_for(system, tmp_path):
    install(system, "hey")
    assert sorted(path.name for path in (tmp_path / "cache" / "inflight").iterdir()) == [
        "bin",
        "debian",
        "programs.lock",
    ]


def test_a_program_that_does_not_start_is_not_offered_and_each_reason_is_given(system, tmp_path):
    alone = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"}
    status, _, err = install(system | alone | {"STATUS": "127"}, "hey")
    assert status == 1
    assert "hey cannot be had here" in err
    assert "does not start here" in err
    assert "requirements/go.txt failed" in err
    assert not (tmp_path / "cache" / "inflight" / "bin" / "hey").exists()


def test_an_unknown_name_is_answered_with_those_that_are_known(system):
    status, _, err = install(system, "caddy")
    assert (status, err) == (2, "no recipe for caddy; there are: prometheus, promtool, hey, haproxy, nginx, wrk\n")
