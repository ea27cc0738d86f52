"""Files that are looked at for changes: in virtual time, at a second's distance."""

import asyncio

import pytest

from autoscaler.runtime.files import FileWatch, version_of


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("one")
    return file


async def test_a_change_between_the_making_of_a_watch_and_its_first_look_is_told_at_once(file):
    watch = FileWatch([file])
    file.write_text("another one")

    waiting = asyncio.ensure_future(watch.changed())
    await asyncio.sleep(0)
    assert waiting.done()


async def test_each_change_is_told_once_and_so_are_its_end_and_its_return(file):
    watch = FileWatch([file])
    for change in (lambda: file.write_text("two, longer"), file.unlink, lambda: file.write_text("three")):
        waiting = asyncio.ensure_future(watch.changed())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 60)
        change()
        await asyncio.wait_for(waiting, 1.5)


def test_a_file_that_is_replaced_behind_a_link_is_another_version(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).write_text("same text")
    link = tmp_path / "mounted"
    link.symlink_to("first")
    before = version_of(link)
    link.unlink()
    link.symlink_to("second")

    assert version_of(link) != before
