"""`--peers`: a list or a file of names and addresses; what is wrong is named by file and line."""

import asyncio

import pytest

from autoscaler.documents.document import DocumentError
from autoscaler.gateway.peers.names import split_address
from autoscaler.gateway.peers.peer_list import PeerList

TEXT = """\
# name  address of the peer port
a  127.0.0.1:9091

b-1.x\t[::1]:9091   # the second
c  gateway-c.example:1
"""
ALL = {"a": "127.0.0.1:9091", "b-1.x": "[::1]:9091", "c": "gateway-c.example:1"}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "peers"
    file.write_text(TEXT)
    return file


def test_a_file_has_a_peer_a_line(file):
    assert PeerList(str(file), "a").read() == ALL


def test_a_list_is_given_as_it_is():
    assert PeerList(",".join(f"{name}={address}" for name, address in ALL.items()), "c").read() == ALL
    assert PeerList(" a=h:1 , b=h:2 ", "b").read() == {"a": "h:1", "b": "h:2"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("d", "'' is no address: write host:port, with a port from 1 to 65535"),
        ("d host", "'host' is no address"),
        ("d host:0", "'host:0' is no address"),
        ("d host:65536", "'host:65536' is no address"),
        ("d host:http", "'host:http' is no address"),
        ("d ::1:9091", "'::1:9091' is no address"),
        ("d host:1 more", "'host:1 more' is no address"),
        ("d=host:1", "'d=host:1' is no name"),
        ("../d host:1", "'../d' is no name: a name has 1 to 253 letters, digits, '-', '_' or '.'"),
        ("a host:1", "the name 'a' is there twice"),
        ("d 127.0.0.1:9091", "the address '127.0.0.1:9091' is already that of 'a'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(file, line, problem):
    file.write_text(f"{TEXT}{line}\n")
    with pytest.raises(DocumentError) as refused:
        PeerList(str(file), "a").read()
    assert str(refused.value).startswith(f"{file}:6: ")
    assert problem in str(refused.value)


@pytest.mark.parametrize("text", ["a=h:1,", "a=h:1,b", "a=h:1,b=", "a=h:1,=h:2", "a=h:1,a=h:2", "a=h:1,b=h:1"])
def test_what_is_wrong_in_a_list_is_named(text):
    with pytest.raises(DocumentError, match=r"^--peers: "):
        PeerList(text, "a").read()


def test_every_wrong_line_is_named_at_once(file):
    file.write_text("a h:1\nb\n!\n")
    with pytest.raises(DocumentError) as refused:
        PeerList(str(file), "a").read()
    assert {problem.split(": ")[0] for problem in refused.value.problems} == {f"{file}:2", f"{file}:3"}


def test_our_own_name_must_be_there(file):
    with pytest.raises(DocumentError, match=r"has no entry of --name 'd'; it names a, b-1\.x, c"):
        PeerList(str(file), "d").read()


def test_bytes_that_are_no_text_are_refused(file):
    file.write_bytes(b"a h:1\n\xff\n")
    with pytest.raises(DocumentError, match="is not UTF-8"):
        PeerList(str(file), "a").read()


async def test_a_change_of_the_file_is_noticed_within_seconds(file):
    peers = PeerList(str(file), "a")
    changes = peers.changed()
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(3)
    assert not waiting.done()
    file.write_text("a h:1\n")
    async with asyncio.timeout(2):
        await waiting
    assert peers.read() == {"a": "h:1"}


async def test_a_list_never_changes():
    assert [change async for change in PeerList("a=h:1", "a").changed()] == []


def test_an_address_is_split_into_host_and_port():
    assert split_address("[fe80::1%eth0]:80") == ("fe80::1%eth0", 80)
    assert split_address("host:80") == ("host", 80)
