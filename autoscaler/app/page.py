"""Wires the page: what a controller or a gateway knows, and the port that serves it."""

import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

import aiohttp

from autoscaler.accounts import Starts
from autoscaler.app.beside import beside
from autoscaler.controller.controller import Controller
from autoscaler.explain.forecast import Forecast, forecast
from autoscaler.explain.view import ServiceView
from autoscaler.page import tables
from autoscaler.page.address import PageAddress
from autoscaler.page.board import Board
from autoscaler.page.http import serve_page
from autoscaler.page.live import Facts, Live
from autoscaler.page.past import Ask, Past
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import ServiceName
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.sources.gateway_figures import FiguresPoller, Known

_log = logging.getLogger(__name__)


def live_services(now: Callable[[], float], tick_s: float) -> Live:
    """Make what keeps the decisions of a controller for its page: one of its recorders."""
    return Live(now, gap_s=max(3 * tick_s, 10.0))


@asynccontextmanager
async def controller_page(
    live: Live,
    controller: Controller,
    address: PageAddress,
    *,
    policy: Callable[[ServiceName], ScalingPolicy | None],
    gateways: Callable[[], Collection[str]],
    tick_s: float,
    ask_past: Ask | None = None,
    leads: Callable[[], bool] = lambda: True,
    leader: Callable[[], str | None] = lambda: None,
    tokens: BearerTokens | None = None,
) -> AsyncIterator[str]:
    """Serve the page of a controller while the block runs, and give its address.

    Args:
        live: a recorder of the controller.
        controller: what decides.
        address: where the page listens.
        policy: gives the policy of a service.
        gateways: gives the metrics addresses of all gateways.
        tick_s: the time between two decisions.
        ask_past: asks a Prometheus for what was before this process; None if there is none.
        leads: tells whether this controller writes.
        leader: gives who leads instead.
        tokens: sent to the gateways; required if others than this machine can reach the page.

    Raises:
        OSError: the port is in use.
    """
    async with aiohttp.ClientSession() as session:
        known = Known(gateways, lambda: controller.services)
        poller = FiguresPoller(session, known, live.now, live.changed, tokens)
        past = ask_past and Past(ask_past, live.now)
        measured, accounting = poller.measured, controller.accounting
        facts = Facts(
            lambda: controller.services,
            policy,
            leads=leads,
            leader=leader,
            figures=lambda service: measured.figures(service, live.now()),
            quality=lambda service, since_s, now_s: tables.quality(measured.quality(service, since_s, now_s)),
            forecast=partial(_forecast, controller, tick_s),
            past=past.samples if past else None,
            starts=lambda service: accounting.starts(service) if accounting else Starts(),
            account=lambda service: accounting.account(service, live.now()) if accounting else None,
        )
        try:
            async with beside(poller.run()), serve_page(Board(live, facts), address, tokens) as at:
                yield at
        finally:
            if past is not None:
                await past.close()


def _forecast(controller: Controller, tick_s: float, view: ServiceView) -> Forecast | None:
    """Run the decider of a service forward; a decider that fails has no forecast."""
    service = controller.services.get(view.service)
    if service is None or view.policy is None or view.record is None:
        return None
    try:
        return forecast(
            view.policy,
            service.export(),
            view.record,
            view.fleet,
            service_s=view.figures.service_s if view.figures else None,
            start_s=view.starts.median_s,
            tick_s=tick_s,
        )
    except Exception:  # noqa: BLE001 - the decider's; the page shows everything else
        _log.exception("%s: no forecast", view.service)
        return None
