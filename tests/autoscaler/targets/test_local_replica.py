"""The parts of a replica's life that need no process: its waits, and its port."""

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.targets.local_replica import Lifetimes, _own_port


def test_the_first_restart_comes_at_once_and_the_waits_double_from_ten_seconds_to_five_minutes():
    waits = [Lifetimes().backoff_s(crashes) for crashes in range(9)]

    assert waits == [0, 0, 10, 20, 40, 80, 160, 300, 300]


@given(st.integers(0, 10**9))
def test_no_number_of_crashes_makes_a_wait_longer_than_the_longest(crashes):
    assert 0 <= Lifetimes().backoff_s(crashes) <= 300


def test_lifetimes_are_scaled_as_a_whole():
    assert Lifetimes().scaled(0.5) == Lifetimes(5, 150, 300, 300, 15)


@pytest.mark.real_time
def test_a_held_port_can_be_served_by_the_replica_and_refuses_connections_before():
    with _own_port() as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


@pytest.mark.real_time
@pytest.mark.parametrize("turn", range(3))
def test_two_replicas_that_start_together_have_ports_of_their_own(turn):
    with _own_port() as one, _own_port() as two:
        assert one != two


@pytest.mark.real_time
def test_a_held_port_is_given_to_nobody_who_asks_for_any():
    with _own_port() as port:
        others = [socket.socket() for _ in range(200)]
        for other in others:
            other.bind(("127.0.0.1", 0))
        given = {other.getsockname()[1] for other in others}
        for other in others:
            other.close()

    assert port not in given or sys.platform != "linux"
