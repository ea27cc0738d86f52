"""The answers of each service as JSON, for a page: `GET /v1/figures`.

The object is `{"gateway": uid, "started": t, "at": t, "services": {"ns/name": {...}}}`, with counts since the gateway's
start. Two of them give what was answered in between. A service that never had a request is left out. A service has

* `queued` and `running`: counted requests that wait and that pods run;
* `answers`: responses that clients got, by class of status, the gateway's own among them;
* `failures`: those of them that broke off while their clients were still there;
* `response_s` and `service_s`: how long counted requests took from their arrival, and from their grant, to the pod's
  last byte, as numbers of values up to each bound, and above the last one;
* `oldest_wait_s`: how long the oldest request in the queue has waited; null if none waits;
* `pods`: the counted requests that a pod runs, how many requests it has answered, and for how long it has been idle or
  busy as now: null where another gateway grants its slots, which knows;
* `quotes`: how many requests started within the P90 of their first quote, and how many did not.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from autoscaler.gateway.counts import CLASSES, Histogram
from autoscaler.gateway.router import Router
from autoscaler.gateway.service import ServiceProxy

_PIECE = 50
"""Services in one piece, which takes a millisecond."""

Figures = dict[str, Any]


def of_service(proxy: ServiceProxy, now_s: float) -> Figures:
    """Return the figures of a service at a time of the gateway's event loop."""
    dispatcher, counts = proxy.dispatcher, proxy.counts
    return {
        "queued": dispatcher.queued,
        "running": dispatcher.running,
        "answers": dict(zip(CLASSES, counts.responses, strict=True)),
        "failures": counts.cut_responses,
        "response_s": _histogram(counts.response_s),
        "service_s": _histogram(counts.service_s),
        "oldest_wait_s": dispatcher.oldest_wait_s(now_s) if dispatcher.queued else None,
        "quotes": proxy.quotes.grade._asdict(),
        "pods": {pod: _pod(proxy, pod, now_s) for pod in dispatcher.backends},
    }


def _pod(proxy: ServiceProxy, pod: str, now_s: float) -> Figures:
    since_s = proxy.dispatcher.idle_or_busy_since_s(pod)
    return {
        "running": proxy.dispatcher.running_on(pod),
        "answers": proxy.pods.answers(pod),
        "since_s": None if since_s is None else now_s - since_s,
    }


def _histogram(histogram: Histogram) -> Figures:
    return {"bounds": histogram.bounds, "counts": histogram.counts, "sum": histogram.total}


def pieces(gateway: Router, only: str | None = None) -> Iterator[bytes]:
    """Yield the object in pieces, so that other requests are served in between; `only` is a service's name."""
    head = json.dumps({"gateway": gateway.uid, "started": gateway.started_s, "at": gateway.now_s()})
    yield f'{head[:-1]}, "services": {{'.encode()
    asked = iter([each for each in gateway.proxies.items() if only in {None, each[0]} and _had_requests(each[1])])
    separator = ""
    while some := dict(islice(asked, _PIECE)):
        now_s = gateway.loop_time()
        written = json.dumps({name: of_service(proxy, now_s) for name, proxy in some.items()})
        yield f"{separator}{written[1:-1]}".encode()
        separator = ", "
    yield b"}}\n"


def _had_requests(proxy: ServiceProxy) -> bool:
    return bool(proxy.counts.arrived or proxy.dispatcher.passed_total or any(proxy.counts.outcomes.values()))
