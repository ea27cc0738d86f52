"""The peers of a gateway: those of a list, with the roster in a file, or those of a cluster, with it in a Lease."""

import logging
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from autoscaler.app.beside import beside
from autoscaler.app.older_gateways import older_gateways_gone
from autoscaler.app.peer_secret import NAME, peer_key_lines
from autoscaler.app.roster_lease import LeaseRoster, new_life
from autoscaler.gateway.peers import roster_store
from autoscaler.gateway.peers.connections.peer_key import SHORTEST_KEY, read_peer_keys
from autoscaler.gateway.peers.file_roster import FileRoster
from autoscaler.gateway.peers.names import split_address
from autoscaler.gateway.peers.peer_list import PeerList
from autoscaler.gateway.peers.runner import PeerRunner, Place
from autoscaler.kubernetes.client import connected
from autoscaler.runtime.files import FileWatch

_POD = ("POD_NAME", "POD_UID", "POD_IP")
_log = logging.getLogger(__name__)


class PeerOptions(NamedTuple):
    """What the command line says of peers."""

    name: str | None = None
    peers: str | None = None
    roster: Path | None = None
    key: Path | None = None
    port: int | None = None
    own_namespace: str = "default"


@asynccontextmanager
async def gateway_peers(options: PeerOptions, config: Path | None) -> AsyncIterator[PeerRunner | None]:
    """Give what joins this gateway to its peers; None if it serves alone.

    Args:
        options: the command line's.
        config: the file of the services, beside which the roster is by default.

    Raises:
        ValueError: an option is missing, has no effect, or has a value that is not legal.
        OSError: a file cannot be used.
        ApiError: the cluster cannot be reached.
    """
    _check(options, config)
    async with AsyncExitStack() as stack:
        if options.port is not None:
            yield await _in_a_cluster(options, options.port, stack)
        elif options.peers is not None and options.name is not None:
            roster = options.roster or Path(f"{config}.roster")
            yield await _of_a_list(options, PeerList(options.peers, options.name), options.name, roster, stack)
        else:
            yield None


def _check(options: PeerOptions, config: Path | None) -> None:
    problems = (_problems_of_a_list if options.port is None else _problems_in_a_cluster)(options, config)
    if problems:
        raise ValueError("\n".join(problems))


def _problems_of_a_list(options: PeerOptions, config: Path | None) -> list[str]:
    if options.peers is None:
        given = {"--name": options.name, "--roster": options.roster, "--peer-key": options.key}
        return [
            f"{option} {value}: has an effect only with --peers FILE, or in a cluster with --peer-port N"
            for option, value in given.items()
            if value is not None
        ]
    problems = []
    if options.name is None:
        problems.append(f"--peers {options.peers}: needs --name NAME too, which says which of them this gateway is")
    if options.roster is None and config is None:
        problems.append(
            f"--peers {options.peers}: needs --roster FILE too, because there is no --config beside which it is"
        )
    return problems


def _problems_in_a_cluster(options: PeerOptions, _config: Path | None) -> list[str]:
    given = {"--name": options.name, "--peers": options.peers, "--roster": options.roster}
    problems = [
        f"{option} {value}: has no effect with --peer-port, because the cluster knows the gateways: leave one out"
        for option, value in given.items()
        if value is not None
    ]
    missing = [name for name in _POD if not os.environ.get(name)]
    if missing:
        fields = "metadata.name, metadata.uid and status.podIP"
        problems.append(
            f"--peer-port {options.port}: needs {', '.join(missing)} in the environment, from the pod's {fields}"
        )
    return problems


async def _of_a_list(
    options: PeerOptions, listed: PeerList, name: str, roster: Path, stack: AsyncExitStack
) -> PeerRunner:
    addresses = listed.read()
    address = addresses[name]
    keys = _keys_of(options.key)
    store, life = FileRoster(roster), secrets.token_hex(8)
    stack.callback(store.close)
    await store.hold(name, life)
    runner = PeerRunner(name, life, Place(address, *split_address(address)), store, keys=keys)
    runner.use_addresses(addresses)
    await stack.enter_async_context(beside(_follow_list(listed, name, address, runner)))
    await _follow_keys(options.key, runner, stack)
    return runner


async def _in_a_cluster(options: PeerOptions, port: int, stack: AsyncExitStack) -> PeerRunner:
    name, uid, address = (os.environ[variable] for variable in _POD)
    api = await stack.enter_async_context(connected())
    namespace = options.own_namespace
    keys = _keys_of(options.key) or _keys_in(await peer_key_lines(api, namespace))
    await older_gateways_gone(api, namespace)
    life = new_life(uid)
    place = Place(f"[{address}]:{port}" if ":" in address else f"{address}:{port}", address, port)
    runner = PeerRunner(name, life, place, LeaseRoster(api, namespace, name=name, life=life), keys=keys)
    await _follow_keys(options.key, runner, stack)
    return runner


def _keys_of(file: Path | None) -> Sequence[bytes]:
    return () if file is None else read_peer_keys(file)


def _keys_in(lines: str) -> Sequence[bytes]:
    keys = tuple(line.strip().encode() for line in lines.splitlines() if line.strip())
    if not keys or min(map(len, keys)) < SHORTEST_KEY:
        raise ValueError(f"the Secret {NAME} must have one key a line, each of {SHORTEST_KEY} bytes or more")
    return keys


async def _follow_list(listed: PeerList, name: str, address: str, runner: PeerRunner) -> None:
    async for _ in listed.changed():
        try:
            addresses = listed.read()
        except (ValueError, OSError) as error:
            _log.error("peers not read again, the previous ones stay in force: %s", error)
            continue
        if addresses[name] != address:
            _log.error("the address of this gateway, %s, changes when it starts again", name)
        runner.use_addresses(addresses)


async def _follow_keys(file: Path | None, runner: PeerRunner, stack: AsyncExitStack) -> None:
    if file is not None:
        await stack.enter_async_context(beside(_read_again(FileWatch([file]), file, runner)))


async def _read_again(watch: FileWatch, file: Path, runner: PeerRunner) -> None:
    while True:
        await watch.changed()
        try:
            runner.use_keys(read_peer_keys(file))
        except (ValueError, OSError) as error:
            _log.error("the peers' keys not read again, the previous ones stay in force: %s", error)


async def forget(name: str, file: Path | None, namespace: str) -> None:
    """Write the roster without a gateway that has ended.

    Args:
        name: the gateway.
        file: the roster's; None is the Lease of a cluster.
        namespace: where that is.

    Raises:
        ValueError: the roster has no such gateway.
        RosterUnavailableError: the roster cannot be read or written.
        ApiError: the cluster cannot be reached.
    """
    if file is not None:
        await roster_store.forget(FileRoster(file), name)
        return
    async with connected() as api:
        await roster_store.forget(LeaseRoster(api, namespace), name)
