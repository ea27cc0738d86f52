"""What every test lives in: virtual time, programs that are there, and a CI in which nothing is skipped."""

import asyncio
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from autoscaler.runtime import programs
from autoscaler.testing import VirtualTimeLoop

# Whoever is started in the background ignores Ctrl-C, and so do its children; some tests send it to them.
signal.signal(signal.SIGINT, signal.default_int_handler)

IN_CI = os.environ.get("CI") == "true"

# How long an example takes says more of the machine than of the code. CI tries the same examples every time: a new one
# that fails should be met at a desk, where there is time for it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=IN_CI)
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)  # for `make check`
settings.load_profile("untimed")


def pytest_asyncio_loop_factories(config, item):
    """Run async tests in virtual time; those marked `real_time` talk to real programs or sockets."""
    real = item.get_closest_marker("real_time")
    return {"real time": asyncio.SelectorEventLoop} if real else {"virtual time": VirtualTimeLoop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _refuse_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _refuse_skips((yield))


def _refuse_skips(report):
    """Turn a skip into a failure where the whole suite is meant to run: under CI=true."""
    if report.skipped and IN_CI:
        report.outcome = "failed"
        report.longrepr = f"under CI=true nothing may be skipped, and this was: {report.longrepr}"
    return report


def _program(name):
    return programs.find(name) or pytest.fail(f"this test needs {name}: run `make programs`")


@pytest.fixture(scope="session")
def prometheus_binary():
    return _program("prometheus")


@pytest.fixture(scope="session")
def promtool_binary():
    return _program("promtool")


@pytest.fixture(scope="session")
def hey_binary():
    return _program("hey")


@pytest.fixture(scope="session")
def haproxy_binary():
    return _program("haproxy")


@pytest.fixture(scope="session")
def chromium_binary():
    return programs.find("chromium") or pytest.fail(NO_BROWSER)


NO_BROWSER = "there is no Chromium: install Debian's package chromium, or name yours in CHROMIUM="


def pytest_collection_modifyitems(config, items):
    """Leave out what needs a browser, and say so, on a machine that has none; CI's must have one."""
    need = [item for item in items if "chromium_binary" in getattr(item, "fixturenames", ())]
    if need and not IN_CI and not programs.find("chromium"):
        config.hook.pytest_deselected(items=need)
        items[:] = [item for item in items if item not in need]
        config.get_terminal_writer().line(f"left out: {len(need)} tests of a browser, because {NO_BROWSER}")
