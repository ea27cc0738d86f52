"""The page in every state, by a real browser: what it says, who can use it, and what it costs."""

import re
import urllib.request
from html import unescape

import pytest
from browser_kit import NARROW, PHONE, Scene, pods, until

from autoscaler.accounts import STATES, Account, Start, Starts
from autoscaler.page.events import MOST_VIEWERS

pytestmark = [pytest.mark.real_time, pytest.mark.program]

BUSY, UNKNOWN, ZERO, FULL = "default/busy", "llm/unknown", "default/at-zero", "media/at-max"
STAGES = (("scheduled", 1.2), ("image", 8.0), ("container", 3.0), ("model", 15.7))
PATHS = ["/", *(f"/services/{name}" for name in (BUSY, UNKNOWN, ZERO, FULL))]
POINTER = "[...document.querySelectorAll('.keys .time')][0].textContent"


@pytest.fixture(scope="module")
def scene():
    """One service is busy, one has an unknown count, one is at zero, one is at its maximum and lets requests wait."""
    made = Scene()
    for name, spec in {BUSY: {}, UNKNOWN: {}, ZERO: {}, FULL: {"maxReplicas": 2}}.items():
        made.add(name, **spec)
    for number in range(16):
        made.now_s += 4.0
        asked = 5 if number > 2 else 0
        seen = {"running": min(asked, 4), "queued": 1, "replicas": asked, "ready": min(asked, 4)}
        made.decide(BUSY, pods=pods(BUSY, [1, 1, 0, 1]), **seen)
        counts = {} if number < 9 else {"running": None, "queued": None}
        made.decide(UNKNOWN, **{"running": 2, **counts}, replicas=2, ready=2, pods=pods(UNKNOWN, [1, 1]))
        made.decide(ZERO)
        seen = {"running": 2, "queued": 7, "replicas": 2, "ready": 2, "reasons": ["maxReplicas"]}
        made.decide(FULL, pods=pods(FULL, [1, 1]), **seen)
    made.measured(BUSY, queued=1, running=4, oldest_wait_s=19.4, p95_s=26.5, answers_per_s=0.25, success=1.0)
    made.starts[BUSY] = Starts((Start("busy-1", made.now_s - 50, STAGES, 27.9),))
    used = dict.fromkeys(STATES, 1.0)
    made.accounts[BUSY] = Account(0.0, made.now_s, used, currency="EUR", cost=1.42, peak_cost=58.4)
    return made


@pytest.fixture(scope="module")
def address(scene, background):
    with scene.served(background) as served:
        yield served


def html(url):
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own server
        return answer.read().decode()


def element(document, name):
    return unescape(re.search(rf"id={name}>(.*?)</", document)[1])


@pytest.mark.parametrize("path", PATHS)
def test_the_sentence_stands_in_the_first_answer_and_the_script_changes_nothing_of_it(tab, address, path):
    document = html(address + path)
    shown = tab(address + path)
    shown.until(f"document.getElementById('first').textContent === {element(document, 'first')!r}")
    figures = re.findall(r"<dt>(.*?)</dt><dd><b>(.*?)</b>", document)
    assert {label: unescape(value) for label, value in figures} == shown.figures()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_without_script_says_the_sentence_and_shows_services_pods_and_decisions(tab, address, path):
    shown = tab(script=False)
    shown.page.goto(address + path)
    text = shown.page.inner_text("main")
    assert element(html(address + path), "first") in text
    if path == "/":
        assert all(name in text for name in (BUSY, UNKNOWN, ZERO, FULL))
    else:
        assert "Decisions" in text


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_shut_out_in_light_in_the_dark_and_on_a_phone(tab, address, path):
    shown = tab(address + path)
    assert shown.violations() == []
    assert shown.look(scheme="dark").violations() == []
    assert shown.look(size=PHONE).violations() == []
    shown.look(size=NARROW)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]


def test_what_is_unknown_is_a_question_mark_with_a_word_and_a_dashed_box_never_a_zero(tab, address):
    fleet = tab(f"{address}/")
    cells = fleet.texts(f"[role=row]:has(a[href='/services/{UNKNOWN}']) .n")
    assert cells[1:4] == ["?unknown"] * 3
    service = tab(f"{address}/services/{UNKNOWN}")
    assert service.text("#state .tag") == "Count unknown"
    assert (service.figures()["Queued"], service.figures()["Running"]) == ("?", "?")
    running = service.charts()[0][2]
    assert running[-1] is None
    assert [running[0], running[-1]] == [2, None]


def test_the_fleet_is_filtered_sorted_and_walked_by_the_keyboard_alone(tab, address):
    shown = tab(f"{address}/")
    keyboard, names = shown.page.keyboard, "[role=row] .name a"
    shown.until(f"document.querySelectorAll({names!r}).length === 4")
    first, *others, last = shown.texts(names)
    # Of the two with load it depends on the moment which needs attention more.
    assert (first, sorted(others), last) == (UNKNOWN, sorted([FULL, BUSY]), ZERO)
    keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.className") == "skip"
    shown.page.focus("#filter")
    keyboard.type("default/")
    shown.until(f"document.querySelectorAll({names!r}).length === 2")
    for _ in range(2):
        keyboard.press("Tab")
    keyboard.press("Enter")
    assert shown.page.evaluate("document.activeElement.textContent") == "Attention 0"
    assert shown.text(".none[role=status]") == "No service matches the filter."
    keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    shown.page.focus("[role=columnheader].name button")
    keyboard.press("Enter")
    assert shown.texts(names) == [ZERO, BUSY]
    assert shown.page.get_attribute("[role=columnheader].name", "aria-sort") == "ascending"
    shown.page.focus(names)
    keyboard.press("ArrowDown")
    keyboard.press("Enter")
    shown.page.wait_for_url(f"**/services/{BUSY}")


def test_a_chart_is_one_stop_whose_cursor_the_keys_move_and_whose_table_follows_it(tab, address):
    shown = tab(f"{address}/services/{BUSY}")
    keyboard = shown.page.keyboard
    shown.page.focus(".plot")
    assert shown.page.evaluate(POINTER).startswith("now, ")
    keyboard.press("Home")
    first = shown.page.evaluate(POINTER)
    keyboard.press("ArrowRight")
    assert first.startswith("at ")
    assert shown.page.evaluate(POINTER) > first
    assert shown.text(".chart .sr") == ", ".join(shown.texts(".chart:first-child .keys > span"))
    keyboard.press("Escape")
    assert shown.page.evaluate(POINTER).startswith("now, ")
    keyboard.press("Tab")
    keyboard.press("Enter")
    shown.until("document.querySelector('.as-table table')")
    assert shown.texts(".as-table thead th")[:3] == ["Time", "Running", "Queued"]


def test_a_decision_opens_to_its_steps_and_stays_open_while_new_ones_come(tab, scene, background, address):
    shown = tab(f"{address}/services/{BUSY}")
    assert shown.page.get_attribute(".opens", "aria-expanded") == "false"
    shown.page.focus("tr:nth-last-child(2) .opens")
    shown.page.keyboard.press("Enter")
    opened = shown.page.evaluate("document.activeElement.textContent")
    scene.next(background, BUSY, running=4, queued=2, replicas=5, ready=4, desired=6)
    shown.until("document.querySelector('.decisions td').textContent.includes('→ 6')")
    assert shown.page.evaluate("document.activeElement.textContent") == opened
    assert shown.page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert shown.texts(".steps:not([hidden]) dt")[:2] == ["Observation", "Recommendation"]


def test_a_screen_reader_is_told_of_another_number_and_not_of_another_average(tab, scene, background, address):
    shown = tab(f"{address}/services/{FULL}")
    told = []
    for running, asked in ((1.5, 2), (1.25, 2), (1.0, 1)):
        scene.next(background, FULL, running=running, replicas=asked, ready=2)
        shown.until(f"document.getElementById('first').textContent.includes('{running:g} ')")
        told.append(shown.text("#said"))
    assert told[0] == told[1] != told[2]
    assert told[2].startswith("1 replica,")


def test_a_page_that_nobody_sees_gets_nothing(tab, scene, address):
    shown = tab(f"{address}/services/{ZERO}")
    hide = (
        "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    viewers = lambda: sum(each.viewers for each in scene.board.streams._streams.values())  # noqa: E731
    until(shown, lambda: viewers() == 1)
    shown.page.evaluate(hide % "true")
    until(shown, lambda: viewers() == 0)
    shown.page.evaluate(hide % "false")
    until(shown, lambda: viewers() == 1)


def test_a_lost_server_is_not_live_and_is_live_again_when_it_is_back(tab, background):
    scene = Scene()
    scene.add(BUSY)
    scene.decide(BUSY, running=1.0, replicas=1, ready=1, pods=pods(BUSY, [1]))
    shown = tab()
    with scene.served(background) as address:
        shown.open(f"{address}/services/{BUSY}")
    shown.until("document.getElementById('live').textContent.startsWith('Last heard')")
    assert shown.text("#state") == "Not live"
    assert shown.text("#first").startswith("1 replica, when last heard ")
    assert "does not answer this page" in shown.text("#second")
    assert shown.violations() == []
    with scene.served(background, int(address.rpartition(":")[2])):
        shown.until("document.getElementById('live').textContent.startsWith('Live')")
        shown.until("document.getElementById('first').textContent.startsWith('1 replica, because')")
        shown.context.close()
    assert [each for each in shown.complaints if "ERR_" not in each] == []
    shown.complaints.clear()


def test_one_viewer_too_many_reads_why(tab, scene, address):
    shown = tab()
    scene.board.streams._viewers += MOST_VIEWERS
    try:
        shown.page.goto(f"{address}/services/{ZERO}")
        shown.until(f"document.getElementById('second').textContent.includes('{MOST_VIEWERS} ')")
        assert shown.text("#live").startswith("Last heard")
    finally:
        scene.board.streams._viewers -= MOST_VIEWERS
    assert {each for each in shown.complaints if "503" not in each} == set()
    shown.complaints.clear()


@pytest.mark.parametrize("state", ["standing by", "gateway only", "nothing yet"])
def test_a_process_that_does_not_decide_says_so_to_everybody(tab, background, state):
    leader = "controller-x2lvb" if state == "standing by" else None
    scene = Scene("gateway" if state == "gateway only" else "controller", leader)
    if state != "nothing yet":
        scene.add(BUSY)
    if state == "standing by":
        scene.decide(BUSY, running=1, replicas=1, ready=1, pods=pods(BUSY, [1]))
    if state == "gateway only":
        scene.measured(BUSY, queued=2, running=3)
    with scene.served(background) as address:
        shown = tab(address if state == "nothing yet" else f"{address}/services/{BUSY}")
        assert shown.violations() == []
        assert shown.look(size=PHONE).violations() == []
        said = {"standing by": leader, "gateway only": "gateway", "nothing yet": "No "}
        assert said[state] in shown.page.inner_text("main")
        shown.context.close()


def test_one_load_keeps_to_its_budget(tab, address):
    shown = tab(f"{address}/services/{BUSY}")
    sizes = shown.page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(each => [new URL(each.name).pathname, each.decodedBodySize, each.encodedBodySize])"
    )
    files = [each for each in sizes if not each[0].startswith("/api")]
    assert sum(plain for _, plain, _ in files) <= 120_000
    assert sum(sent for _, _, sent in files) <= 45_000
    ours = [each for each in files if "/vendor/" not in each[0]]
    assert sum(plain for name, plain, _ in ours if name.endswith(".js")) <= 40_000
    assert sum(plain for name, plain, _ in ours if name.endswith(".css")) <= 12_000
