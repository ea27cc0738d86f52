"""Runs a gateway until a signal ends it: shutdown, reloads, and the watch on its memory.

Here are the signals and the timeouts; `GatewayServer.drain` in `server` has the steps.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from autoscaler.gateway.affinity import read_keys
from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.server import GatewayServer
from autoscaler.runtime.bearer_tokens import BearerTokens
from autoscaler.runtime.files import FileWatch
from autoscaler.runtime.gc_tuning import tune_gc
from autoscaler.runtime.memory import resident_bytes, trim
from autoscaler.runtime.signals import follow_hangups

_MEASURE_MEMORY_EVERY_S = 0.25
_MEASUREMENTS_BETWEEN_TRIMS = 20
_log = logging.getLogger(__name__)

Load = Callable[[], Mapping[str, GatewayService]]
"""Reads the services again; raises ValueError or OSError for a file that cannot be used."""

Build = Callable[[Mapping[str, GatewayService]], GatewayServer]

Follow = Callable[[GatewayServer], Coroutine[None, None, None]]


class ShutdownTimeouts(NamedTuple):
    """How long a gateway may take to shut down."""

    propagation_s: float = 5.0
    """How long it still accepts clients after it says that it is not ready."""
    grace_s: float = 20.0
    """How long open requests may then take; with `propagation_s` a little less than the pod's termination grace."""


async def serve(
    load: Load,
    *,
    port: int,
    metrics_port: int,
    config: Path | None = None,
    follow: Follow | None = None,
    build: Build = GatewayServer,
    shutdown: ShutdownTimeouts | None = None,
    tokens: BearerTokens | None = None,
    cookie_keys: Path | None = None,
    hosts: Sequence[str] = (),
    metrics_hosts: Sequence[str] | None = None,
    recheck: Callable[[], None] | None = None,
    reopen: Sequence[Callable[[], None]] = (),
    page: Follow | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once.

    SIGHUP reads the services again and reopens the logs, SIGUSR1 only reopens the logs.

    Args:
        load: returns the services.
        port: the port for clients.
        metrics_port: the metrics port.
        config: the file behind `load`, watched for changes.
        follow: keeps services and pods up to date in another way; if it fails, the gateway ends.
        build: makes the gateway from the services.
        shutdown: how long draining may take.
        tokens: what the metrics port requires; without them it is open.
        cookie_keys: the file of the cookie keys that `build` was given, watched for changes.
        hosts: names or addresses to listen on; none is all of IPv4 and IPv6.
        metrics_hosts: the same for the metrics port; None is the same as `hosts`.
        recheck: makes `follow` read its files again; not needed with `config`.
        reopen: reopen the logs.
        page: serves a page of the gateway.

    Raises:
        OSError: a port is taken.
        ValueError: the services cannot be read.
    """
    if config is not None:
        watch = FileWatch([config])
        recheck = watch.recheck
        follow = partial(watch_config, watch=watch, load=load)
    services = load()
    gateway = build(services)
    signals = _stop_signals()
    follow_hangups(reopen, recheck)
    await gateway.start(port, metrics_port, hosts, metrics_hosts=metrics_hosts, tokens=tokens)
    _log.info(
        "clients at port %d, at most %d connections; metrics at port %d; services: %d",
        *(gateway.port, gateway.clients.limits.connections, gateway.metrics_port, len(services)),
    )
    tune_gc()
    keys = cookie_keys and partial(watch_keys, file=cookie_keys)
    watching = asyncio.ensure_future(_all(gateway, [each for each in (watch_memory, follow, keys, page) if each]))
    try:
        await _until_signal_or_failure(signals, watching)
        await _until_done_or_second_signal(signals, gateway.drain(*(shutdown or ShutdownTimeouts())))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await gateway.stop()


async def _all(gateway: GatewayServer, followed: Sequence[Follow]) -> None:
    """Run all of these; the first error is raised."""
    await asyncio.gather(*(each(gateway) for each in followed))


def _stop_signals() -> asyncio.Queue[int]:
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


async def _until_signal_or_failure(signals: asyncio.Queue[int], watching: asyncio.Future[Any]) -> None:
    signal_came = asyncio.ensure_future(signals.get())
    await asyncio.wait({signal_came, watching}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        signal_came.cancel()
        watching.result()


async def _until_done_or_second_signal(signals: asyncio.Queue[int], draining: Coroutine[None, None, None]) -> None:
    both = [asyncio.ensure_future(draining), asyncio.ensure_future(signals.get())]
    done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    for task in done:
        task.result()


async def watch_memory(gateway: GatewayServer) -> None:
    """Refuse new requests while memory is short, and meanwhile give unused memory back."""
    overload = gateway.overload
    for measurement in count():
        if overload.measure(resident_bytes()):
            say = _log.error if overload.active else _log.warning
            what = "new requests are refused with 503" if overload.active else "new requests are accepted again"
            say("%d MiB of %s MiB in use: %s", overload.used_bytes >> 20, (overload.limit_bytes or 0) >> 20, what)
        if overload.active and measurement % _MEASUREMENTS_BETWEEN_TRIMS == 0:
            trim()
        await asyncio.sleep(_MEASURE_MEMORY_EVERY_S)


async def watch_keys(gateway: GatewayServer, file: Path) -> None:
    """Use the new cookie keys whenever their file changes; a file that cannot be used changes nothing."""
    watch = FileWatch([file])
    while True:
        try:
            gateway.set_cookie_keys(read_keys(file))
        except (OSError, ValueError) as error:
            _log.error("cookie keys not read again, the previous ones stay in force: %s", error)
        await watch.changed()


async def watch_config(gateway: GatewayServer, watch: FileWatch, load: Load) -> None:
    """Reload the gateway whenever the file changes; a file that cannot be used changes nothing."""
    while True:
        await watch.changed()
        await reload(gateway, load)


async def reload(gateway: GatewayServer, load: Load) -> bool:
    """Serve what `load` returns; it runs in a thread, so that clients are served meanwhile.

    On an error change nothing, log it, and return False.
    """
    try:
        services = await asyncio.to_thread(load)
    except (ValueError, OSError) as error:
        _log.error("configuration not reloaded, the previous one stays in force: %s", error)
        return False
    gateway.reload(services)
    _log.info("configuration reloaded, services: %d", len(services))
    return True
