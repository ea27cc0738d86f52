"""Builds the controller of one machine: services and queries from policies, sources, and a given target."""

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import aiohttp

from autoscaler.controller.accounting import Accounting
from autoscaler.controller.controller import Controller, OnObservations, WakeUps
from autoscaler.controller.recorders import DecisionLog
from autoscaler.controller.services import query, service_of
from autoscaler.controller.step import Service
from autoscaler.policy.spec import ScalingPolicy
from autoscaler.ports import Clock, Query, Recorder, ScaleTarget, ServiceName
from autoscaler.runtime.clock import local_midnight_s
from autoscaler.sources.gateway_stream import StreamSource
from autoscaler.sources.known_gateways import KnownGateways
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_credentials import PrometheusCredentials


def services(policies: Iterable[ScalingPolicy]) -> dict[ServiceName, Service]:
    """Build the services to decide on; processes of this machine run in no pool of GPUs."""
    return {policy.service: service_of(policy)._replace(placement=None) for policy in policies}


def queries(policies: Iterable[ScalingPolicy], default_server: str | None) -> dict[ServiceName, Query]:
    """Build the Prometheus query of each service; a service without a server, its own or the default, is left out."""
    found = ((policy.service, query(policy.spec.metrics.prometheus, default_server)) for policy in policies)
    return {service: each for service, each in found if each is not None}


@asynccontextmanager
async def controller(
    policies: Sequence[ScalingPolicy],
    *,
    clock: Clock,
    target: ScaleTarget,
    gateways: Iterable[str],
    prometheus: str | None,
    tick_s: float,
    recorders: Sequence[Recorder],
    log: DecisionLog | None = None,
    on_observations: OnObservations = lambda _observations: None,
) -> AsyncIterator[tuple[Controller, StreamSource]]:
    """Build a controller, and what listens to gateways while the block runs; whoever enters it runs the first.

    Args:
        policies: what is decided on.
        clock: the time of looks and ticks.
        target: what is observed and scaled.
        gateways: metrics addresses of all gateways, as `host:port`.
        prometheus: address of the default server; None is none.
        tick_s: distance of the ticks.
        recorders: are given every decision.
        log: is given every decision too, and before them the policies.
        on_observations: is given the observations before they are decided on.
    """
    followed, by_name = services(policies), {policy.service: policy for policy in policies}

    def begin(policy: ScalingPolicy) -> None:
        if log is not None:
            knows = followed[policy.service].export
            log.begin(policy.service, policy.model_dump(mode="json", exclude_unset=True), knows)

    def renew(service: ServiceName) -> None:
        followed.update(services([by_name[service]]))
        begin(by_name[service])

    for each in policies:
        begin(each)
    wake_ups, addresses = WakeUps(), frozenset(gateways)
    credentials, known = PrometheusCredentials(servers=[prometheus] if prometheus else []), KnownGateways(clock.now)
    known.set(addresses)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        StreamSource(session, clock.now, random.Random(), wake_ups.add) as streams,  # noqa: S311 - spreads reconnections
    ):
        streams.set_gateways(addresses)
        control = Controller(
            followed,
            clock=clock,
            target=target,
            tick_s=tick_s,
            metered=PrometheusSource(
                session, credentials=credentials, gateways=known.names if addresses else lambda: None
            ),
            queries=queries(policies, prometheus),
            streams=streams,
            wake_ups=wake_ups,
            recorders=[*recorders, log] if log else recorders,
            on_observations=on_observations,
            renew=renew,
            accounting=Accounting(followed, local_midnight_s, tick_s=tick_s),
        )
        yield control, streams
