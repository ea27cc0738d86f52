"""The summary is hey's, word for word: by its rules on made-up results, and beside what real hey printed."""

import asyncio
import re

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.demo.hey_summary import PERCENTILES, histogram, percentiles, summary
from autoscaler.demo.load import Load
from autoscaler.demo.load_result import LoadResult, Response

REFERENCE_EDGES = [9.94, 15.19, 20.44, 25.68, 30.93, 36.18, 41.43, 46.67, 51.92, 57.17, 62.42]
"""The upper edges that hey printed for the reference run, whose latencies went from 9.94 s to 62.42 s."""

latencies = st.lists(st.floats(0.001, 200), min_size=1, max_size=120).map(sorted)


def answer(latency_s, status=200, **parts):
    return Response(latency_s, 0.0, 0.0, 0.0, 0.0, 0.0, status, 0.0)._replace(**parts)


# The rules.


def test_the_edges_of_the_reference_run_are_its_own():
    edges = [edge for edge, _ in histogram([9.94, 62.42])]

    assert edges == pytest.approx(REFERENCE_EDGES, abs=0.01)


@given(latencies)
def test_every_latency_is_in_one_bucket_whose_edge_it_does_not_exceed(latencies_s):
    buckets = histogram(latencies_s)

    assert sum(count for _, count in buckets) == len(latencies_s)
    reached = 0
    for edge, count in buckets:
        reached += count
        assert reached == sum(latency_s <= edge for latency_s in latencies_s)


@given(st.integers(100, 5000))
def test_a_percentile_is_the_first_value_whose_rank_has_reached_it(number):
    expected = {percent: -(-percent * number // 100) for percent in PERCENTILES}

    assert percentiles(range(number)) == expected


def test_the_ranks_of_fifty_answers_reach_no_ninety_ninth_percentile():
    assert percentiles(range(50)) == {10: 5, 25: 13, 50: 25, 75: 38, 90: 45, 95: 48}


def test_the_ranks_of_a_hundred_answers_are_the_percentiles():
    assert percentiles(range(100)) == {10: 10, 25: 25, 50: 50, 75: 75, 90: 90, 95: 95, 99: 99}


def test_few_answers_reach_few_percentiles_and_each_takes_another_value():
    assert percentiles([1.0]) == {}
    assert percentiles([1.0, 2.0]) == {10: 2.0}


# The text.

ALL = """
Summary:
  Total:	2.5000 secs
  Slowest:	0.6000 secs
  Fastest:	0.1000 secs
  Average:	0.3250 secs
  Requests/sec:	2.0000
  
  Total data:	40 bytes
  Size/request:	10 bytes

Response time histogram:
  0.100 [1]	|■■■■■■■■■■■■■■■■■■■■
  0.150 [0]	|
  0.200 [0]	|
  0.250 [0]	|
  0.300 [2]	|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
  0.350 [0]	|
  0.400 [0]	|
  0.450 [0]	|
  0.500 [0]	|
  0.550 [0]	|
  0.600 [1]	|■■■■■■■■■■■■■■■■■■■■


Latency distribution:
  10% in 0.3000 secs
  25% in 0.3000 secs
  50% in 0.6000 secs
  0% in 0.0000 secs
  0% in 0.0000 secs
  0% in 0.0000 secs
  0% in 0.0000 secs

Details (average, fastest, slowest):
  DNS+dialup:	0.0010 secs, 0.1000 secs, 0.6000 secs
  DNS-lookup:	0.0000 secs, 0.0000 secs, 0.0000 secs
  req write:	0.0020 secs, 0.0010 secs, 0.0030 secs
  resp wait:	0.0000 secs, 0.0000 secs, 0.0000 secs
  resp read:	0.0000 secs, 0.0000 secs, 0.0000 secs

Status code distribution:
  [200]	3 responses
  [503]	1 responses

Error distribution:
  [1]	Post "http://localhost/": EOF

"""  # noqa: W293  # two blanks that hey prints


def test_all_that_hey_prints_is_there():
    answers = (
        answer(0.6, dialup_s=0.004, write_s=0.003, size=10),
        answer(0.1, write_s=0.001, size=10),
        answer(0.3, write_s=0.002, status=503, size=10),
        answer(0.3, write_s=0.002, size=10),
    )

    text = summary(LoadResult(2.5, answers, {'Post "http://localhost/": EOF': 1}))

    assert text == ALL


def test_without_an_answer_averages_are_no_numbers_and_the_rest_is_empty():
    text = summary(LoadResult(2.0, (), {"Get: refused": 4, "Get: reset": 2}))

    assert "  Average:\t NaN secs\n  Requests/sec:\t3.0000\n  \n\nResponse time histogram:\n\n\nLatency" in text
    assert "Latency distribution:\n\nDetails" in text
    assert (
        "  resp read:\t NaN secs, 0.0000 secs, 0.0000 secs\n\nStatus code distribution:\n\nError distribution:\n"
        in text
    )
    assert text.endswith("\n  [4]\tGet: refused\n  [2]\tGet: reset\n\n")


# Real hey. Of one answer, and of five, its text gives every latency away, so that ours can be made for the same.


async def serve(durations_s):
    """Start a server whose answers take these times, in order of arrival; gives its runner."""
    left = list(durations_s)

    async def handle(_request):
        await asyncio.sleep(left.pop(0))
        return web.json_response({"images": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def printed_by_hey(program, durations_s):
    runner = await serve(durations_s)
    load = Load(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    number = str(len(durations_s))
    options = ("-n", number, "-c", "1", "-m", load.method, "-T", load.content_type, "-d", load.body)
    process = await asyncio.create_subprocess_exec(program, *options, load.url, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    await runner.cleanup()
    return output.decode()


def value(text, label):
    return float(re.search(rf"{re.escape(label)}\s+([0-9.]+)", text)[1])


def details(text, tag):
    return [float(number) for number in re.search(rf"  {tag}:\t(.*)", text)[1].replace(" secs", "").split(",")]


def edges(text):
    return [float(edge) for edge in re.findall(r"^  ([0-9.]+) \[", text, re.MULTILINE)]


def but_for(text, *patterns):
    for pattern in patterns:
        text = re.sub(pattern, "*", text, flags=re.MULTILINE)
    return text


RATE, EDGE, DETAILS = (
    r"(?<=Requests/sec:\t)[0-9.]+",
    r"^  [0-9.]+(?= \[)",
    r"(?<=:\t)[0-9.]+ secs, [0-9.]+ secs, .* secs",
)


@pytest.mark.program
@pytest.mark.real_time
async def test_of_one_answer_hey_prints_the_same_text(hey_binary):
    theirs = await printed_by_hey(hey_binary, [0.02])
    spans = [details(theirs, tag)[0] for tag in ("DNS.dialup", "DNS-lookup", "req write", "resp wait", "resp read")]
    size = int(value(theirs, "Total data:"))

    latency_s = value(theirs, "Slowest:")
    ours = summary(LoadResult(value(theirs, "Total:"), (Response(latency_s, *spans, 200, 0.0, size),), {}))

    assert but_for(ours, RATE, EDGE) == but_for(theirs, RATE, EDGE)
    assert value(ours, "Requests/sec:") == pytest.approx(value(theirs, "Requests/sec:"), rel=0.01)
    assert edges(ours) == pytest.approx(edges(theirs), abs=0.0011)


@pytest.mark.program
@pytest.mark.real_time
async def test_of_five_answers_hey_prints_the_same_histogram_and_percentiles(hey_binary):
    theirs = await printed_by_hey(hey_binary, [0.236, 0.02, 0.162, 0.048, 0.094])
    percents = re.findall(r"^  [1-9][0-9]*% in ([0-9.]+) secs", theirs, re.MULTILINE)
    latencies_s = [value(theirs, "Fastest:"), *map(float, percents)]
    size = int(value(theirs, "Total data:")) // 5

    ours = summary(LoadResult(value(theirs, "Total:"), tuple(answer(s, size=size) for s in latencies_s), {}))

    assert len(latencies_s) == 5
    unknown = (RATE, EDGE, DETAILS, r"(?<=Average:\t)[0-9.]+")
    assert but_for(ours, *unknown) == but_for(theirs, *unknown)
    assert value(ours, "Average:") == pytest.approx(value(theirs, "Average:"), abs=0.00011)
    assert edges(ours) == pytest.approx(edges(theirs), abs=0.0011)


@pytest.mark.program
@pytest.mark.real_time
async def test_of_no_answer_hey_prints_the_same_text(hey_binary):
    command = (hey_binary, "-n", "4", "-c", "2", "http://127.0.0.1:1/")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    theirs = output.decode()
    (number, reason), *_ = re.findall(r"^  \[(\d+)\]\t(.*)$", theirs, re.MULTILINE)

    ours = summary(LoadResult(value(theirs, "Total:"), (), {reason: int(number)}))

    assert but_for(ours, RATE) == but_for(theirs, RATE)
