"""Commands that run often and do little import nothing heavy: a compiler and tables cost more than the work."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HEAVY = {"matplotlib", "numba", "pandas", "pyarrow"}
POLICY = Path(__file__).parents[2] / "autoscaler" / "demo" / "policy.yaml"
LOADED = """
import sys
from autoscaler.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as stopped:
    status = stopped.code
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
sys.exit(status)
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["simulate", "--help"], ["validate", str(POLICY)], ["simulate", "demo"]], ids=" ".join
)
def test_nothing_heavy_is_loaded_by(words):
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(ran.stdout.splitlines()[-1].split()[1:])
    assert "argparse" in loaded
    assert not loaded & HEAVY
