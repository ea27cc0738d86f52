"""Sockets to listen on, for each address of some hosts or of the machine."""

import errno
import socket

import pytest

from autoscaler.runtime import listeners as module
from autoscaler.runtime.listeners import listeners

pytestmark = pytest.mark.real_time


@pytest.fixture
def bound():
    made = []

    def bind(hosts, port=0):
        made.extend(found := listeners(hosts, port))
        return [each.getsockname()[:2] for each in found]

    yield bind
    for each in made:
        each.close()


def test_without_hosts_it_is_every_address_of_both_families_at_one_port(bound):
    (first, port), (second, other) = bound([])
    assert (first, second) == ("0.0.0.0", "::")  # noqa: S104
    assert port == other


def test_a_name_is_all_of_its_addresses_and_each_is_bound_once(bound):
    found = {host for host, _ in bound(["localhost", "127.0.0.1", "[::1]"])}
    assert found == {"127.0.0.1", "::1"}


def test_a_machine_without_ipv6_is_listened_to_at_ipv4(bound, monkeypatch):
    made = socket.socket

    def without(family, kind):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6 here")
        return made(family, kind)

    monkeypatch.setattr(module.socket, "socket", without)
    assert [host for host, _ in bound([])] == ["0.0.0.0"]  # noqa: S104


def test_a_port_that_is_taken_is_named_with_its_address(bound):
    ((_, port),) = bound(["127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: address already in use"):
            bound(["127.0.0.1"], port)


@pytest.mark.parametrize("host", ["no..name", "x" * 64 + ".invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_named(bound, host):
    with pytest.raises(OSError, match=f"cannot listen on {host}"):
        bound([host])
