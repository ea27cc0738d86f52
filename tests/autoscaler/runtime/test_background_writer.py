"""Lines that a thread writes: nobody who gives one waits, and each is in the file or counted."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from autoscaler.runtime import background_writer
from autoscaler.runtime.background_writer import BackgroundWriter


@pytest.fixture
def pipe():
    """A pipe that is full, and that nobody reads until the test does."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(1 << 10))
    os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)
    for thread in threading.enumerate():
        if thread.name.startswith("writes"):
            thread.join()
    os.close(writer)


def line(number):
    return f"{number}\n"


def read_filler(reader):
    """Read what filled the pipe, and give what came behind it."""
    while not (read := os.read(reader, 1 << 16).lstrip(b"\0")):
        pass
    return read


def test_lines_are_in_the_file_in_the_order_in_which_they_were_given(tmp_path):
    file = tmp_path / "log"
    for _ in range(2):
        writer = BackgroundWriter(file, "the log")
        assert all(writer.offer(line(number)) for number in range(1000))
        writer.close()
    assert file.read_text() == "".join(map(line, range(1000))) * 2
    assert writer.lost == 0


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_what_is_lost_is_counted_and_said_once(pipe, caplog):
    reader, descriptor = pipe
    writer = BackgroundWriter(descriptor, "the log", most_bytes=10_000)
    taken = [number for number in range(100_000) if writer.offer(line(number))]
    assert 0 < len(taken) < 100_000
    assert [record.getMessage() for record in caplog.records] == [
        "the log loses lines, because too many wait to be written"
    ]
    assert writer.lost == 100_000 - len(taken)
    # Once it is read, all that was taken is there, whole and in order, and the log goes on.
    read = read_filler(reader)
    while read.count(b"\n") < len(taken):
        read += os.read(reader, 1 << 16)
    while "is written again" not in caplog.text:
        threading.Event().wait(0.001)
    assert writer.offer("more\n")
    while not read.endswith(b"more\n"):
        read += os.read(reader, 1 << 16)
    assert read.decode() == "".join(map(line, taken)) + "more\n"
    writer.close()


def test_the_end_waits_for_a_hanging_pipe_no_longer_than_it_may_and_counts_what_is_left(pipe):
    _, descriptor = pipe
    writer = BackgroundWriter(descriptor, "the log")
    writer.offer("x" * (1 << 20) + "\n")
    while writer._lines:
        threading.Event().wait(0.001)
    writer.offer("never\n")
    writer.close(0.01)
    assert writer.lost == 1
    assert not writer.offer("too late\n")


def test_a_named_pipe_without_a_reader_is_opened_and_its_lines_wait_in_it(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = BackgroundWriter(path, "the log")
    writer.offer("one\n")
    with path.open() as reader:
        assert reader.readline() == "one\n"
    writer.close()


def test_a_file_that_was_renamed_is_left_when_it_is_opened_anew(tmp_path):
    path, old = tmp_path / "log", tmp_path / "log.1"
    writer = BackgroundWriter(path, "the log")
    writer.offer("old\n")
    path.rename(old)
    writer.reopen()
    writer.offer("new\n")
    writer.close()
    assert (old.read_text(), path.read_text()) == ("old\n", "new\n")


def test_where_it_cannot_be_opened_anew_the_file_before_goes_on(tmp_path, caplog):
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    writer = BackgroundWriter(folder / "log", "the log")
    folder.rename(moved)
    writer.reopen()
    writer.offer("goes on\n")
    writer.close()
    assert (moved / "log").read_text() == "goes on\n"
    assert "cannot be opened again, the old file stays in use" in caplog.text


def test_a_full_disk_is_said_once_and_what_it_has_not_taken_at_the_end_counts(caplog):
    writer = BackgroundWriter(Path("/dev/full"), "the log")
    for number in range(3):
        assert writer.offer(line(number))
    writer.close()
    assert writer.lost == 3
    assert caplog.text.count("No space left") == 1


class Disk:
    """Where `os.write` has room for some bytes only, until there is more."""

    def __init__(self, monkeypatch, room):
        self.room = room
        self.refused = threading.Event()
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor, data):
        if not self.room:
            self.refused.set()
            raise OSError(28, "No space left on device")
        number = min(self.room, len(data))
        self.room -= number
        return self._write(descriptor, data[:number])


@pytest.fixture
def quick_retry(monkeypatch):
    monkeypatch.setattr(background_writer, "_RETRY_S", 0.001)


@pytest.mark.parametrize("room", [1, 5, 6, 11, 12, 17])
def test_lines_that_a_full_disk_refuses_wait_until_it_has_room_and_none_is_torn(
    room, tmp_path, monkeypatch, quick_retry, caplog
):
    path = tmp_path / "log"
    writer = BackgroundWriter(path, "the log")
    disk = Disk(monkeypatch, room)
    for _ in range(3):
        writer.offer("12345\n")
    disk.refused.wait()
    writer.offer("after\n")
    disk.room = 1 << 20
    writer.close(30)
    assert path.read_text() == "12345\n" * 3 + "after\n"
    assert "is written again; 0 lines were lost so far" in caplog.text


@pytest.mark.parametrize("room", [1, 6, 7])
def test_a_file_on_a_full_disk_is_left_when_it_is_opened_anew_and_its_last_line_is_whole_in_the_next(
    room, tmp_path, monkeypatch
):
    path, old = tmp_path / "log", tmp_path / "log.1"
    writer = BackgroundWriter(path, "the log")
    disk = Disk(monkeypatch, room)
    writer.offer("12345\nabcde\n")
    disk.refused.wait()
    path.rename(old)
    disk.room = 1 << 20
    writer.reopen()
    writer.close(30)
    whole, _, _torn = old.read_text().rpartition("\n")
    assert (whole + "\n" if whole else "") + path.read_text() == "12345\nabcde\n"


def test_who_must_know_of_each_loss_is_told_at_once(pipe):
    _, descriptor = pipe
    writer = BackgroundWriter(descriptor, "the log", most_bytes=8)
    writer.write("one\n")
    with pytest.raises(OSError, match="too many lines wait to be written to the log"):
        writer.write("x\n" * 4)
    assert writer.lost == 4
    writer.close(0.01)
