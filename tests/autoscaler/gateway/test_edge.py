"""What of aiohttp's private parts the gateway leans on: each is here, and a new minor version must pass this."""

import inspect

import pytest
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server
from gateway_kit import NAME, answer_ok, until

from autoscaler.gateway.edge import ClientConnection, Sent, answer_bytes

pytestmark = pytest.mark.real_time


def test_the_parser_is_the_one_in_c_whose_strictness_was_tried():
    assert HttpRequestParser.__module__ == "aiohttp._http_parser"


def test_messages_keep_their_raw_headers_and_target():
    assert {"path", "raw_headers", "should_close", "chunked"} <= set(RawRequestMessage.__dict__)


def test_errors_of_the_parser_come_as_messages_of_their_own():
    assert list(inspect.signature(_ErrInfo).parameters) == ["status", "exc", "message"]
    assert list(inspect.signature(RequestHandler._make_error_handler).parameters) == ["self", "err_info"]
    assert LineTooLong("x", 7).args[1] == 7


@pytest.mark.parametrize("name", ["_request_count", "_waiter", "_messages", "_manager", "_task_handler"])
def test_a_connection_has_the_fields_that_are_read(name):
    assert name in RequestHandler.__slots__


def test_the_server_knows_its_connections_and_arguments():
    source = inspect.getsource(Server)
    assert all(
        f"self.{name} = " in source or f"self.{name}: " in source for name in ("_connections", "_kwargs", "_loop")
    )


def test_what_we_override_is_what_there_is():
    for name in (
        "connection_made",
        "connection_lost",
        "data_received",
        "eof_received",
        "pause_writing",
        "resume_writing",
    ):
        assert callable(getattr(RequestHandler, name))
        assert name in vars(ClientConnection)


async def test_a_thing_with_two_methods_passes_for_a_response(kit):
    sent = Sent(keep_alive=True)
    await sent.prepare(None)
    await sent.write_eof()
    pod = await kit.pod(answer_ok)
    gateway = await kit.gateway(pods=[pod])
    client = await kit.client(gateway)
    for _ in range(3):
        assert (await client.get().response()).body == b"ok"


async def test_the_handler_is_cancelled_when_its_client_goes(kit):
    gateway = await kit.gateway()
    client = (await kit.client(gateway)).post()
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    client.reset()
    await until(lambda: not gateway.open)


def test_an_answer_of_ours_is_a_whole_response():
    assert answer_bytes(503, "later", keep_alive=False, added=b"Retry-After: 3\r\n") == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"
        b"Retry-After: 3\r\nConnection: close\r\n\r\nlater\n"
    )
    assert answer_bytes(404, "no", keep_alive=True, without_body=True).endswith(b"Content-Length: 3\r\n\r\n")
