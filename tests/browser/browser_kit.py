"""A page in a real browser: what is served, who looks, and what the browser complains of."""

import asyncio
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from page_records import record

from autoscaler.accounts import Starts
from autoscaler.explain.view import ServiceFigures
from autoscaler.page.address import PageAddress
from autoscaler.page.board import Board
from autoscaler.page.http import serve_page
from autoscaler.page.live import Facts, Live
from autoscaler.ports import Fleet, Replica
from autoscaler.testing import policy

ROOT = Path(__file__).parents[2]
AXE = ROOT / "build" / "web" / "node_modules" / "axe-core" / "axe.min.js"
DRIVER = ROOT / "build" / "browser" / "lib"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
PATIENCE_S = 30
DESKTOP, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)


@contextmanager
def chromium(binary):
    """Start a browser; playwright is in an environment of its own, which `make test` makes."""
    for folder in DRIVER.glob("python3*/site-packages"):
        sys.path.append(str(folder))
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it is not installed where pytest is
    except ImportError:
        pytest.fail("playwright is not in build/browser: run `make build/browser/made`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(binary), args=list(FLAGS))
        yield browser
        browser.close()


class Tab:
    """One page in a context of its own, with all that the browser complained of."""

    def __init__(self, browser, *, size=DESKTOP, scheme="light", script=True, **options):
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=script, **options
        )
        self.complaints = []
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.add_init_script(
            "addEventListener('securitypolicyviolation', each => console.error('forbidden: ' + each.violatedDirective))"
        )

    def _on_console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open(self, url):
        """Open a page and wait until its script has taken over."""
        self.page.goto(url)
        self.until("document.getElementById('live').textContent.startsWith('Live')")
        return self

    def until(self, expression):
        """Wait until an expression of JavaScript holds."""
        for _ in range(PATIENCE_S * 20):
            if self.page.evaluate(f"() => Boolean({expression})"):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never so: {expression}")

    def text(self, selector):
        return self.page.evaluate("selector => document.querySelector(selector)?.textContent", selector)

    def texts(self, selector):
        return self.page.evaluate(
            "selector => [...document.querySelectorAll(selector)].map(each => each.textContent)", selector
        )

    def figures(self):
        """Give the figures as they are shown, by label."""
        return dict(
            self.page.evaluate(
                "[...document.querySelectorAll('#figures > div')]"
                ".map(each => [each.querySelector('dt').textContent, each.querySelector('b').textContent])"
            )
        )

    def charts(self):
        """Give what the charts draw: for each its columns, time first."""
        return self.page.evaluate("uPlot.sync('time').plots.map(plot => plot.data)")

    def look(self, *, size=DESKTOP, scheme="light"):
        """Look at it in another size or other colours."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        return self

    def violations(self):
        """Let axe-core look for what a screen reader or a keyboard cannot use."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


class Background:
    """An event loop in a thread of its own, because the browser's driver takes the test's."""

    def __init__(self):
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()

    def run(self, coroutine):
        """Run a coroutine there, and give its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    @contextmanager
    def entered(self, manager):
        """Enter an asynchronous context there while the block runs here, in one task."""
        entered, left = self.loop.create_future(), asyncio.Event()

        async def hold():
            try:
                async with manager as value:
                    entered.set_result(value)
                    await left.wait()
            except BaseException as error:
                if not entered.done():
                    entered.set_exception(error)
                raise

        async def wait():
            return await entered

        task = asyncio.run_coroutine_threadsafe(hold(), self.loop)
        try:
            yield self.run(wait())
        finally:
            self.loop.call_soon_threadsafe(left.set)
            task.result(PATIENCE_S)


class Scene:
    """Services as a controller knows them, decided by hand; real code makes all that is shown of them.

    Its time hardly moves between two decisions, so that what is said of it stays; no two readings are the same.
    """

    def __init__(self, role="controller", leader=None):
        self.now_s = 1_800_000_000.0
        self.live = Live(self._now)
        self.policies, self.figures, self.starts, self.accounts = {}, {}, {}, {}
        self.leader = leader
        facts = Facts(
            self.policies.keys,
            self.policies.get,
            role,
            leads=lambda: self.leader is None,
            leader=lambda: self.leader,
            figures=self.figures.get,
            starts=lambda service: self.starts.get(service, Starts()),
            account=self.accounts.get,
        )
        self.board = Board(self.live, facts)

    def _now(self):
        self.now_s += 1e-6
        return self.now_s

    def add(self, service, **spec):
        """Add a service without a decision."""
        self.policies[service] = policy(service, **spec)
        return service

    def decide(self, service, *, pods=(), **seen):
        """Let a decision be made."""
        made = record(self.now_s, service=service, **seen)
        self.live.observed({service: (made.observation, Fleet(seen.get("replicas", 0), tuple(pods)))})
        self.live(made)

    def next(self, background, service, **seen):
        """Let a decision be made two seconds later, while it is served."""

        async def decided():
            self.now_s += 2.0
            self.decide(service, **seen)

        background.run(decided())

    def measured(self, service, **figures):
        """Let gateways have measured something."""
        self.figures[service] = ServiceFigures(**figures)

    @contextmanager
    def served(self, background, port=0):
        """Serve it while the block runs; gives the address."""
        with background.entered(serve_page(self.board, PageAddress("127.0.0.1", port))) as address:
            yield address


def pods(service, running):
    """Make ready pods that serve so many requests each."""
    name = service.rpartition("/")[2]
    return [
        Replica(f"{name}-{number}", ready=True, running=each, age_s=200.0 + number, unchanged_s=9.5)
        for number, each in enumerate(running)
    ]


def until(shown, holds):
    """Wait until something holds outside of the page."""
    for _ in range(PATIENCE_S * 20):
        if holds():
            return
        shown.page.wait_for_timeout(50)
    raise AssertionError("it never holds")
