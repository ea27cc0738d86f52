"""The site that `make docs` builds: strict, whole, and without an address that a browser would fetch."""

import asyncio
import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager

import pytest
import yaml
from documentation import DOCS, MARKDOWN, ROOT, pages

pytestmark = pytest.mark.program

ZENSICAL = ROOT / "build" / "docs" / "bin" / "zensical"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--timeout=20000"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def build(folder):
    """Build a copy of the documentation in a folder."""
    if not ZENSICAL.exists():
        pytest.fail("this test needs Zensical: run `make build/docs/made`")
    return subprocess.run(
        [ZENSICAL, "build", "--strict"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def copy(folder):
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(DOCS, folder / "docs")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = copy(tmp_path_factory.mktemp("site"))
    built = build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "build" / "site"


def test_each_page_is_built(site):
    assert {page for page in pages() if not (site / page).with_suffix(".html").is_file()} == set()


def test_the_site_shows_the_lists_tables_and_blocks_that_a_reader_of_the_files_sees(site):
    """The site's Markdown is an older one: a list directly below a paragraph is none to it, nor a block in a list."""

    def elements(html):
        return {
            tag: len(re.findall(rf"<{tag}\b", html))
            for tag in ("h2", "h3", "ol", "ul", "li", "tr", "td", "pre", "code")
        }

    differ = []
    for page, text in pages().items():
        shown = (site / page).with_suffix(".html").read_text()
        article = shown[shown.index("<article") : shown.index("</article>")]
        if elements(article) != elements(MARKDOWN.render(text)):
            differ.append(page)
    assert differ == []


def test_a_link_or_an_anchor_that_leads_nowhere_fails_the_build(tmp_path):
    page = copy(tmp_path) / "docs" / "reference" / "status.md"
    page.write_text(page.read_text() + "\n[a page](nowhere.md), [a heading](policy.md#nowhere), [here](#nowhere)\n")
    built = build(tmp_path)
    assert built.returncode != 0
    assert built.stderr.count("does not exist") >= 3


def test_each_page_stands_in_the_navigation():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        inner = entry if isinstance(entry, list) else entry.values()
        return [file for each in inner for file in files(each)]

    navigation = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(navigation) == sorted(pages())


def test_no_page_and_no_style_names_an_address_to_fetch(site):
    fetched = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+""")
    linked = re.compile(r"""<link\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+""")
    styled = re.compile(r"""(?:url\(|@import\s+)["']?(?:https?:)?//[^"')\s]+""")
    found = {}
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = file.read_text()
        if named := [*fetched.findall(text), *linked.findall(text), *styled.findall(text)]:
            found[file.name] = named
    assert found == {}


@pytest.mark.real_time
async def test_a_browser_asks_nobody_but_the_sites_own_server(site, chromium_binary, tmp_path):
    """The scripts fetch other scripts for what we do not use, such as diagrams; so it takes a browser to tell."""
    log = tmp_path / "net.json"
    with served(site) as address:
        for page in ("reference/policy.html", "reference/gateway.html"):
            flags = [*FLAGS, f"--user-data-dir={tmp_path / 'browser'}", f"--log-net-log={log}", "--dump-dom"]
            browser = await asyncio.create_subprocess_exec(
                chromium_binary, *flags, address + page, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            shown, _ = await asyncio.wait_for(browser.communicate(), 100)
            assert b"</html>" in shown
            asked = requested(log, address)
            assert any(url.endswith(".js") for url in asked)
            assert {url for url in asked if not url.startswith(address)} == set()


def requested(log, address):
    """Give the addresses that pages of a server asked for; a browser asks for others of its own accord."""
    parameters = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    return {each["url"] for each in parameters if "url" in each and address.startswith(each.get("initiator", "none"))}


@contextmanager
def served(folder):
    """A server of files; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
