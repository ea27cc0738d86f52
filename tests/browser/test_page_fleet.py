"""A thousand services on one page."""

import pytest
from browser_kit import Scene

pytestmark = [pytest.mark.real_time, pytest.mark.program]

MANY, FEW = 1000, 30
ROW, BEYOND = 52, 12
NAME = "team/service-{:04}"
ROWS = "document.querySelectorAll('.rows > .row').length"


def crowd(number):
    made = Scene()
    for each in range(number):
        name = made.add(NAME.format(each))
        made.decide(name, running=1.0, replicas=1, ready=1)
    return made


def nodes(shown):
    """How many nodes the browser lays out."""
    session = shown.context.new_cdp_session(shown.page)
    session.send("Performance.enable")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return metrics["LayoutObjects"] if "LayoutObjects" in metrics else metrics["Nodes"]


@pytest.fixture(scope="module")
def many(background):
    scene = crowd(MANY)
    with scene.served(background) as address:
        yield scene, address


def test_only_the_rows_in_sight_and_twelve_more_are_in_the_document(tab, many):
    shown = tab(f"{many[1]}/")
    shown.until(f"{ROWS} > 0")
    visible = 900 // ROW + 1
    assert shown.page.evaluate(ROWS) <= visible + BEYOND
    shown.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    shown.until(f"document.querySelector('.rows').lastElementChild.textContent.includes('{NAME.format(MANY - 1)}')")
    assert shown.page.evaluate(ROWS) <= visible + BEYOND
    assert shown.page.get_attribute(".fleet", "aria-rowcount") == str(MANY + 1)
    assert shown.violations() == []


def test_the_last_row_is_reached_by_one_key(tab, many):
    shown = tab(f"{many[1]}/")
    shown.until(f"{ROWS} > 0")
    shown.page.focus(".rows .name a")
    shown.page.keyboard.press("End")
    shown.until(f"document.activeElement.textContent === '{NAME.format(MANY - 1)}'")
    assert shown.page.evaluate("document.activeElement.closest('.row').getAttribute('aria-rowindex')") == str(MANY + 1)


def test_a_thousand_services_take_no_more_to_lay_out_than_thirty(tab, background, many):
    with crowd(FEW).served(background) as address:
        few, large = tab(f"{address}/"), tab(f"{many[1]}/")
        for each in (few, large):
            each.until(f"{ROWS} > 10")
        assert nodes(large) <= 1.2 * nodes(few)
        few.context.close()


def test_a_change_of_one_service_changes_one_row(tab, background, many):
    scene, address = many
    shown = tab(f"{address}/")
    shown.until(f"{ROWS} > 0")
    first = shown.text(".rows .name a")
    shown.page.evaluate(
        "window.changed = []; new MutationObserver(all => all.forEach(each => each.addedNodes.forEach(node =>"
        " changed.push(node.querySelector('.name').textContent))))"
        ".observe(document.querySelector('.rows'), {childList: true})"
    )
    scene.next(background, first, running=3, replicas=3, ready=3)
    shown.until("changed.length > 0")
    assert set(shown.page.evaluate("changed")) == {first}
