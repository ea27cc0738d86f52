"""The notebooks run from a clean kernel, draw their figures, and are committed without outputs."""

from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import simulations

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((Path(simulations.__file__).parent / "notebooks").glob("*.ipynb"))
FIGURES = {"first-simulation": 2, "validation": 3}
PNG = b"\x89PNG\r\n\x1a\n"
PATIENCE_S = 300
"""For one cell, on a machine that does other things as well."""


@pytest.mark.real_time
@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_a_notebook_runs_from_a_clean_kernel_and_draws_its_figures(path):
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    await NotebookClient(notebook, timeout=PATIENCE_S, resources=where).async_execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = [b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) == FIGURES[path.stem]
    assert all(figure.startswith(PNG) and len(figure) > 5000 for figure in figures)
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_all_notebooks_are_known():
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)
