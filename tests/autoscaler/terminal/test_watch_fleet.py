"""The live view: each answer is shown, and while there is none, the last one with its age."""

import asyncio
import io
import re

import pytest
from rich.console import Console
from stand_ins import LOG

from autoscaler.terminal.log_files import LogFiles
from autoscaler.terminal.values import AnswerError
from autoscaler.terminal.watch_fleet import EVERY_S, watch


class Answers:
    """A source that gives one answer after the other; None is a page that is gone."""

    name, notes = "http://page", ()

    def __init__(self, *answers):
        self._answers = list(answers)

    async def fleet(self):
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            raise AnswerError("http://page cannot be reached")
        return answer


async def shown(source, seconds):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, height=40, highlight=False, color_system=None)
    task = asyncio.create_task(watch(source, console))
    await asyncio.sleep(seconds)
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.wait([task])
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame) for frame in out.getvalue().split("\x1b[H")]


async def test_each_answer_is_shown_as_it_comes():
    first, second = await LogFiles([LOG], 1.0).fleet(), await LogFiles([LOG], 236.0).fleet()
    frames = await shown(Answers(first, second), 1.5 * EVERY_S)
    assert any("5 asked: 5 requests wait and no replica is ready." in frame for frame in frames)
    assert "5: 4.39 in flight on average over 60 s." in frames[-1]
    assert "Not live" not in frames[-1]


async def test_a_page_that_is_gone_leaves_its_last_answer_with_its_age():
    frames = await shown(Answers(await LogFiles([LOG], 236.0).fleet()), 2.5 * EVERY_S)
    assert "Not live: last answer 4 s ago (" in frames[-1]
    assert "http://page cannot be reached" in frames[-1]
    assert "5: 4.39 in flight on average over 60 s." in frames[-1]


async def test_the_first_answer_must_come():
    with pytest.raises(AnswerError):
        await watch(Answers(), Console(file=io.StringIO()))
