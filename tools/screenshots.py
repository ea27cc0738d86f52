#!/usr/bin/env python3
"""Take the pictures of the page for the docs: docs/images/page-*.png, from a run of the demo in real time.

`make screenshots` runs it with the Python of build/browser, which has playwright; Chromium is the system's. It takes
six minutes. The pictures look best where the font Inter is installed.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
DEMO = (ROOT / ".venv" / "bin" / "autoscaler", "demo", "--speed", "1", "--page", "127.0.0.1:0", "--keep")
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-background-networking")
PATIENCE_S = 600
DESKTOP, TALL, PHONE = (1280, 900), (1280, 1330), (390, 844)
FALLING = r"/^\d replicas, .* on average/.test(first.textContent) && /^Only 1 .* goes in/.test(second.textContent)"
"""The last request runs, and several replicas stand."""
AT_ZERO = "first.textContent.startsWith('0 replicas, because')"


def main() -> int:
    """Run the demo and take all pictures; return the exit status."""
    with _demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        fleet = f"{address.partition('/services/')[0]}/"
        watching = _opened(browser, address, DESKTOP, "light")
        _wait(watching, "document.querySelectorAll('.pods tbody tr').length === 5")
        others = {
            "page-phone": _opened(browser, address, PHONE, "light"),
            "page-fleet": _opened(browser, fleet, (1280, 420), "light"),
        }
        _wait(watching, FALLING)
        _take(watching, "page-service")
        for name, page in others.items():
            _take(page, name)
        _wait(watching, AT_ZERO)
        at_zero = _opened(browser, address, TALL, "dark")
        at_zero.wait_for_timeout(2000)
        at_zero.locator(".opens").nth(2).click()
        _take(at_zero, "page-at-zero")
        browser.close()
    return 0


@contextmanager
def _demo() -> Iterator[str]:
    """Run the demo while the block runs, and give the address of its service's page."""
    with subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        lines = iter(demo.stdout or ())
        try:
            yield next(found[1] for line in lines if (found := re.match(r"Page (\S+)", line)))
        finally:
            demo.terminate()


def _opened(browser: Browser, url: str, size: tuple[int, int], scheme: str) -> Page:
    viewport = {"width": size[0], "height": size[1]}
    sharp = 2 if size == PHONE else 1
    context = browser.new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=sharp)
    page = context.new_page()
    page.goto(url)
    return page


def _wait(page: Page, expression: str) -> None:
    """Wait by `evaluate`: `wait_for_function` with a text would break the page's policy."""
    for _ in range(PATIENCE_S * 4):
        if page.evaluate(f"() => Boolean({expression})"):
            return
        page.wait_for_timeout(250)
    raise TimeoutError(expression)


def _take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(main())
