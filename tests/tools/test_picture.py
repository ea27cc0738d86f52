"""The README's picture: what it shows of a run, and that the committed one is of a run from zero to five and back."""

import json
import re
from pathlib import Path

import picture

COMMITTED = Path(__file__).parents[2] / "docs" / "images" / "zero-to-five.svg"
MOMENTS = [
    {"t_s": 0.0, "asked": 0, "ready": 0, "running": 0, "queued": 0},
    {"t_s": 0.1, "asked": 2, "ready": 0, "running": 0, "queued": 2},
    {"t_s": 30.0, "asked": 2, "ready": 2, "running": 2, "queued": 0},
    {"t_s": 90.0, "asked": 0, "ready": 0, "running": 0, "queued": 0},
]


def test_a_run_is_drawn_with_what_each_line_is_and_no_background(tmp_path):
    result, drawn = tmp_path / "result.json", tmp_path / "picture.svg"
    result.write_text(json.dumps({"timeline": MOMENTS}))
    assert picture.main([str(result), str(drawn)]) == 0
    text = drawn.read_text()
    assert "<title>Replicas from 0 to 2 and back to 0 in 90 s</title>" in text
    for label in ("requests queued", "requests running", "replicas desired", "replicas ready"):
        assert f">{label}</text>" in text
    assert "#ffffff" not in text


def test_the_same_run_is_drawn_the_same(tmp_path):
    (tmp_path / "result.json").write_text(json.dumps({"timeline": MOMENTS}))
    for name in ("first.svg", "second.svg"):
        picture.main([str(tmp_path / "result.json"), str(tmp_path / name)])
    assert (tmp_path / "first.svg").read_text() == (tmp_path / "second.svg").read_text()


def test_the_committed_picture_is_of_a_run_from_zero_to_five_and_back():
    assert re.search(r"<title>Replicas from 0 to 5 and back to 0 in \d+ s</title>", COMMITTED.read_text())
