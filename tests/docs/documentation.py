"""The pages of docs/ as the tests of this folder read them: tables, blocks, links, headings."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages():
    """Give every page, by its path below docs/."""
    return {str(file.relative_to(DOCS)): file.read_text() for file in sorted(DOCS.rglob("*.md"))}


def numbered_rows(page):
    """Give the rest of each row of a page's tables that begins with a number, by that number."""
    rows = re.findall(r"(?m)^\| (\d+) \| (.*) \|$", (DOCS / page).read_text())
    assert len(dict(rows)) == len(rows), f"{page} has a number twice"
    return {int(number): rest for number, rest in rows}
