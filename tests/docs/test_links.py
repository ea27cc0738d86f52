"""Pages link to pages, and a file of the repository that a page names exists. `test_site` follows the anchors."""

import re
import subprocess
from pathlib import PurePosixPath

from documentation import DOCS, ROOT, inline, pages

TRACKED = set(subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
FOLDERS = {str(folder) for file in TRACKED for folder in PurePosixPath(file).parents}
AT_THE_TOP = {PurePosixPath(file).parts[0] for file in TRACKED if "/" in file}
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)+/?")


def test_each_link_leads_to_a_page_or_an_image_below_docs():
    wrong = {}
    for page, text in pages().items():
        targets = [token.attrs["href"] for token in inline(text, "link_open")]
        targets += [token.attrs["src"] for token in inline(text, "image")]
        files = {target.partition("#")[0] for target in targets if not re.match(r"https?://|#", target)}
        for file in files:
            path = ((DOCS / page).parent / file).resolve()
            if not (path.is_file() and path.is_relative_to(DOCS)):
                wrong.setdefault(page, []).append(file)
    assert wrong == {}


def test_each_file_of_the_repository_that_a_page_names_exists():
    missing = {}
    for page, text in pages().items():
        created = set(re.findall(r"Create `([^`]+)`:", text))
        for code in {token.content for token in inline(text, "code_inline")} - created:
            if PATH.fullmatch(code) and code.partition("/")[0] in AT_THE_TOP and not is_there(code.rstrip("/")):
                missing.setdefault(page, []).append(code)
    assert missing == {}


def is_there(path):
    """Say whether a path, perhaps with `*`, is a file or a folder that git knows."""
    return (
        any(PurePosixPath(known).match(path) for known in TRACKED | FOLDERS)
        if "*" in path
        else path in TRACKED | FOLDERS
    )
