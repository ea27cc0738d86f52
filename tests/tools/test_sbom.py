"""The software bill of materials that `make sbom` writes."""

import json
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def locked():
    """Give each package of the image's lock file with its hashes."""
    entries = re.split(r"(?m)^(?=\S)", (ROOT / "requirements" / "controller.txt").read_text())[1:]
    for entry in entries:
        name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()
        yield name, version, set(re.findall(r"sha256:([0-9a-f]{64})", entry))


def test_it_names_each_locked_package_of_the_image_and_each_of_its_hashes():
    subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "build" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    found = {
        (each["name"], each["version"], frozenset(one["content"] for one in reference["hashes"]))
        for each in bill["components"]
        for reference in each["externalReferences"]
    }
    assert found == {(name, version, frozenset(hashes)) for name, version, hashes in locked()}
