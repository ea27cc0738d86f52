"""Where the page listens."""

import pytest

from autoscaler.page.address import PageAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8090", "127.0.0.1", 8090),
        ("localhost:0", "localhost", 0),
        ("[::1]:80", "[::1]", 80),
        ("page.example:65535", "page.example", 65535),
    ],
)
def test_an_address_is_a_host_and_a_port(text, host, port):
    assert PageAddress.parse(text) == (host, port)


@pytest.mark.parametrize("text", ["", "8090", "localhost", "localhost:", ":-1", ":65536", ":http", ":8_0", ":٣"])
def test_anything_else_is_an_error_that_says_what_is_legal(text):
    with pytest.raises(ValueError, match="must be host:port or :port, with a port of 0 to 65535"):
        PageAddress.parse(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - this is what is tested
        ("[::]", False),
        ("10.0.0.1", False),
        ("page.example", False),
    ],
)
def test_only_the_loopback_interface_is_of_this_machine_alone(host, is_loopback):
    assert PageAddress(host, 80).is_loopback is is_loopback
