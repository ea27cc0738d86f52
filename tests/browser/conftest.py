"""One Chromium for each module, and a tab that must not complain."""

import pytest
from browser_kit import AXE, Background, Tab, chromium


@pytest.fixture(scope="module")
def browser(chromium_binary):
    assert AXE.is_file(), "axe-core is not in build/web: run `make web`"
    with chromium(chromium_binary) as started:
        yield started


@pytest.fixture(scope="module")
def background():
    with Background() as started:
        yield started


@pytest.fixture
def tab(browser):
    """Open tabs; afterwards none may have an error in its script or have broken the page's policy."""
    tabs = []

    def opened(url="", **options):
        tabs.append(Tab(browser, **options))
        return tabs[-1].open(url) if url else tabs[-1]

    yield opened
    for each in tabs:
        each.context.close()
    assert [each.complaints for each in tabs] == [[] for _ in tabs]
