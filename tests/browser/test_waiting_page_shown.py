"""The page of a client that waits, in a browser: everybody can read it, on each screen."""

import pytest
from browser_kit import NARROW, PHONE

from autoscaler.gateway.quotes.quotes import Quote
from autoscaler.gateway.waiting.page import Wait, too_late_page, waiting_page

pytestmark = [pytest.mark.real_time, pytest.mark.program]
STARTING = Wait(
    "Stable Diffusion",
    is_ready=False,
    waited_s=19.0,
    left_s=581.0,
    estimate=Quote(2, 25.0, 34.0, "50 starts"),
    request_id="9f2c-1",
    fresh_url="/",
)
PAGES = {
    "starting": waiting_page(STARTING),
    "nothing is known": waiting_page(STARTING._replace(estimate=None)),
    "busy": waiting_page(STARTING._replace(is_ready=True)),
    "too late": too_late_page(STARTING),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_waiting_client_can_read_its_page_in_light_in_the_dark_and_on_a_phone(tab, page):
    shown = tab()
    shown.page.set_content(page)
    assert shown.violations() == []
    assert shown.look(scheme="dark").violations() == []
    assert shown.look(size=PHONE).violations() == []
    shown.look(size=NARROW)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
