"""The file of the key has one key a line; a key is never shown."""

import pytest

from autoscaler.gateway.peers.connections.peer_key import read_peer_keys

OLD, NEW = b"old-key-" * 4, b"new-key-" * 5


@pytest.fixture
def file(tmp_path):
    return tmp_path / "peer-key"


def test_each_line_is_a_key_and_the_first_proves(file):
    file.write_bytes(NEW + b"\n\n  " + OLD + b"  \r\n")
    assert read_peer_keys(file) == (NEW, OLD)


def test_bytes_that_are_no_text_are_one_key_as_they_are(file):
    key = bytes(range(200, 232)) + b"\n\n"
    file.write_bytes(key)
    assert read_peer_keys(file) == (key,)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": has no key; write one a line, each of 32 bytes or more"),
        (b"\n \n", ": has no key"),
        (OLD + b"\nsecretive\n", ":2: the key has 9 bytes; legal are 32 or more"),
        (b"\xff" * 31, ":1: the key has 31 bytes"),
        (b"x" * 70_000, ": has more than 65536 bytes; write one key a line"),
    ],
)
def test_a_file_without_usable_keys_is_refused_without_showing_them(file, content, problem):
    file.write_bytes(content)
    with pytest.raises(ValueError, match="peer-key") as refused:
        read_peer_keys(file)
    assert str(refused.value).startswith(f"{file}{problem}")
    assert "secretive" not in str(refused.value)


def test_a_file_that_is_not_there_is_an_error_of_the_system(file):
    with pytest.raises(FileNotFoundError, match="peer-key"):
        read_peer_keys(file)
