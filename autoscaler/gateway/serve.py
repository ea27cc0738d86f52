"""Runs a gateway until it is told to go, and reloads what it serves when the file changes."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from autoscaler.gateway.config import GatewayService
from autoscaler.gateway.proxy import Gateway

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0

Load = Callable[[], Mapping[str, GatewayService]]
"""Reads the services anew; raises ValueError, or OSError, for a file that cannot be used."""


async def serve(
    load: Load, *, port: int, metrics_port: int, config: Path | None = None, key: bytes | None = None
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        load: gives the services.
        port: where clients are listened to.
        metrics_port: where those who observe are listened to.
        config: the file behind `load`, to look at for changes.
        key: signs the cookies.

    Raises:
        OSError: a port is taken.
        ValueError: the services cannot be read.
    """
    told_to_go = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_go.set)
    gateway = Gateway(load(), key=key)
    await gateway.start(port, metrics_port)
    watching = asyncio.ensure_future(watch_config(gateway, config, load)) if config is not None else None
    try:
        await told_to_go.wait()
    finally:
        if watching is not None:
            watching.cancel()
        await gateway.stop()


async def watch_config(gateway: Gateway, config: Path, load: Load) -> None:
    """Reload the gateway whenever the file changes, for ever; a file that cannot be used changes nothing."""
    known = _state(config)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        state = _state(config)
        if state != known:
            known = state
            reload(gateway, load)


def reload(gateway: Gateway, load: Load) -> bool:
    """Serve what `load` gives; on an error go on as before, say so in the log, and return False."""
    try:
        services = load()
    except (ValueError, OSError) as error:
        _log.error("configuration not reloaded, the one before stays in force: %s", error)
        return False
    gateway.reload(services)
    _log.info("configuration reloaded: %d services", len(services))
    return True


def _state(config: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from the next; a ConfigMap replaces the file behind a link."""
    try:
        found = config.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
