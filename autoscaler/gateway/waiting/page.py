"""The page that a person sees while a service starts or is busy: one small answer, without script and cookies.

It says nothing of other clients but how many are before this one. Clock times are left out, because the page does not
know the reader's time zone.
"""

import base64
import hashlib
from html import escape
from http import HTTPStatus
from typing import NamedTuple

from autoscaler.gateway.waiting.estimate import Estimate

REFRESH_S = 1
"""A browser replaces a page that refreshes within a second, so that Back still leads to where the person came from."""
_MINUTE_S, _HOUR_S = 60, 3600
_STYLE = """\
:root{color-scheme:light dark;--ink:#16191d;--soft:#4d5661;--line:#d5dae1;--bar:#0a6ebd;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#eceff3;--soft:#b4bcc7;--line:#363d47;--bar:#6fb6f2;--back:#12151a}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:14px/20px system-ui,sans-serif}
main{max-width:560px;margin:0 auto;padding:72px 24px 24px;overflow-wrap:anywhere}
h1{font-size:28px;line-height:36px;font-weight:650;margin:0 0 8px}
.lead{font-size:17px;line-height:26px;margin:0 0 24px}
b{font-weight:650}
label,.note{font-size:12px;line-height:18px;color:var(--soft)}
progress{display:block;width:100%;height:8px;border:0;border-radius:3px;background:var(--line);accent-color:var(--bar);appearance:none}
progress::-webkit-progress-bar{background:var(--line);border-radius:3px}
progress::-webkit-progress-value{background:var(--bar);border-radius:3px}
progress::-moz-progress-bar{background:var(--bar);border-radius:3px}
.ends{display:flex;justify-content:space-between;font-size:13px;color:var(--soft);margin:8px 0 20px}
.ends,li{font-variant-numeric:tabular-nums}
ol{list-style:none;margin:0 0 20px;padding:0;border-top:1px solid var(--line)}
li{display:flex;gap:10px;padding:9px 0;border-bottom:1px solid var(--line);color:var(--soft)}
li span:last-child{margin-left:auto}
.now{color:var(--ink);font-weight:600}
a{color:var(--bar)}
@media(max-width:480px){main{padding-top:36px}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = (
    "Cache-Control: no-store\r\n"
    f"Content-Security-Policy: default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Robots-Tag: noindex\r\n"
)
"""The lines of every answer with the page."""
CONTENT_TYPE = b"text/html; charset=utf-8"
WAITING, TOO_LATE = HTTPStatus.ACCEPTED, HTTPStatus.GATEWAY_TIMEOUT
"""202: the request is accepted, this is its state, and it is not an error of the service."""


class Wait(NamedTuple):
    """What the page says."""

    title: str
    """What a person calls the service."""
    is_ready: bool
    """Whether the service has started, so that the person waits for others."""
    waited_s: float
    left_s: float
    """Until the wait is given up."""
    estimate: Estimate | None
    request_id: str
    fresh_url: str
    """Where a new place is asked for; only harmless characters."""


def waiting_page(wait: Wait) -> str:
    """Return the page of a client that waits."""
    title = f"{escape(wait.title)} is {'busy' if wait.is_ready else 'starting'}"
    body = [f"<h1>{title}</h1>", f'<p class="lead">{_lead(wait)}</p>', _progress(wait), _steps(wait)]
    body += [
        "<p>This page opens by itself when it is your turn. Keep it open: if you close it, your place is given up.</p>",
        f'<p class="note">If it has not opened in {_duration(wait.left_s)}, this page says so. {_request(wait)}</p>',
    ]
    return _document(title, body)


def too_late_page(wait: Wait) -> str:
    """Return the page of a client that waited in vain."""
    title = f"{escape(wait.title)} did not open in time"
    body = [
        f"<h1>{title}</h1>",
        f'<p class="lead">You waited for {_duration(wait.waited_s)}, and your place is given up.</p>',
        f'<p><a href="{escape(wait.fresh_url)}">Try again</a></p>',
        f'<p class="note">{_request(wait)}</p>',
    ]
    return _document(title, body)


def _document(title: str, body: list[str]) -> str:
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    return "\n".join(
        [
            head,
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style></head>",
            "<body><main>",
            *body,
            "</main></body></html>",
        ]
    )


def _lead(wait: Wait) -> str:
    estimate = wait.estimate
    if estimate is None:
        return "How long it will take is not known yet."
    first, nine_of_ten = _duration(estimate.p50_s), _duration(estimate.p90_s)
    return (
        f"You are <b>{_ordinal(estimate.position)} in line</b>. It should open in <b>about {first}</b>, "
        f"and in 9 of 10 cases within {nine_of_ten}."
    )


def _progress(wait: Wait) -> str:
    waited = f"<span>Waited {_clock(wait.waited_s)}</span>"
    if wait.estimate is None:
        return f'<p class="ends">{waited}</p>'
    left_s = wait.estimate.p50_s
    percent = round(100 * wait.waited_s / max(1.0, wait.waited_s + left_s))
    of = "wait" if wait.is_ready else "start"
    return (
        f'<label for="progress">Progress of the {of}</label>\n'
        f'<progress id="progress" max="100" value="{percent}">{percent} %</progress>\n'
        f'<p class="ends">{waited}<span>about {_clock(left_s)} left</span></p>'
    )


def _steps(wait: Wait) -> str:
    steps = [_step("done", "✓", "Your request is held here", f"{_duration(wait.waited_s)} ago")]
    if wait.is_ready:
        steps += [_step("done", "✓", "It has started"), _step("now", "◐", "Others are served before you")]
    else:
        steps += [_step("now", "◐", "It is starting", _of_about(wait))]
    return "\n".join(["<ol>", *steps, _step("next", "○", "Your turn"), "</ol>"])


def _of_about(wait: Wait) -> str:
    if wait.estimate is None:
        return ""
    return f"{_duration(wait.waited_s)} of about {_duration(wait.waited_s + wait.estimate.p50_s)}"


def _step(state: str, glyph: str, text: str, aside: str = "") -> str:
    mark = f'<span role="img" aria-label="{state}">{glyph}</span>'
    return f'<li class="{state}">{mark}<span>{text}</span><span>{aside}</span></li>'


def _request(wait: Wait) -> str:
    return f"Request {escape(wait.request_id[:64])}."


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min" + (f" {whole % _MINUTE_S} s" if whole % _MINUTE_S else "")
    minutes = whole % _HOUR_S // _MINUTE_S
    return f"{whole // _HOUR_S} h" + (f" {minutes} min" if minutes else "")


def _clock(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // _MINUTE_S}:{whole % _MINUTE_S:02}"


def _ordinal(number: int) -> str:
    last_two = number % 100
    ending = "th" if last_two in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
