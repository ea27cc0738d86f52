"""Golden files: the committed ones, or with `--golden DIR` those of any other folder; one line is printed for each."""

from pathlib import Path
from typing import NamedTuple

import pytest
from golden import load

COMMITTED = Path(__file__).parent / "data"


class GoldenFile(NamedTuple):
    path: Path
    name: str
    """Its path below the folder that was asked for."""


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        metavar="DIR",
        help="compare the golden files (*.json) below DIR instead of the committed ones",
    )


def pytest_generate_tests(metafunc):
    if "golden_file" in metafunc.fixturenames:
        # Where this file is loaded only on collection, the option is unknown and cannot have been given.
        folder = Path(metafunc.config.getoption("--golden", default=None) or COMMITTED)
        files = [GoldenFile(path, str(path.relative_to(folder))) for path in sorted(folder.rglob("*.json"))]
        if not files:
            raise pytest.UsageError(f"no golden files (*.json) below {folder}")
        metafunc.parametrize("golden_file", files, ids=[file.name for file in files])


RECORDINGS = sorted(path for kind in ("decision", "pipeline") for path in COMMITTED.glob(f"knative/{kind}_*.json"))


@pytest.fixture(params=RECORDINGS, ids=[path.stem for path in RECORDINGS])
def knative_recording(request):
    """The path of one of Knative's recorded timelines."""
    return request.param


@pytest.fixture
def config_resolutions():
    """What Knative resolved settings to, and which it refused."""
    return load(COMMITTED / "knative" / "config_resolution.json")


def pytest_terminal_summary(terminalreporter):
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    noted = [dict(report.user_properties) for report in reports if report.when == "call"]
    golden = [properties for properties in noted if "golden" in properties]
    if golden:
        terminalreporter.section("golden files")
        for line in sorted(properties["golden"] for properties in golden):
            terminalreporter.write_line(line)
        total = sum(properties["compared"] for properties in golden)
        terminalreporter.write_line(f"{len(golden)} files, {total} values compared")
