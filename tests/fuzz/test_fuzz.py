"""Every target holds for its seeds and for what hypothesis makes of them; the fuzzer itself looks further."""

import subprocess
import sys
from pathlib import Path

import fuzz_targets
import pytest
from fuzz_targets import TARGETS
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.dispatch import path_rules
from autoscaler.gateway.http.framing import Overhead

HERE = Path(__file__).parent
SEEDS = {target: [file.read_bytes() for file in sorted((HERE / "corpus" / target).iterdir())] for target in TARGETS}
WORDS = st.sampled_from(
    [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b": ",
            b"\x00",
            b"0\r\n\r\n",
            b"chunked",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 3\r\n",
        ),
        *(b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Host: a\r\n", b"HTTP/1.0", b"GET / HTTP/1.1\r\n", b"_: "),
        *(b"/", b"//", b"/..", b"%2e", b"%2F", b"%74", b";", b"#", b"?", b"\\", b"*", b"sdapi/v1/txt2img"),
    ]
)


@st.composite
def changed(draw, seeds):
    """A seed with some of it taken out, doubled, or replaced."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data[start:end] = draw(st.one_of(WORDS, st.binary(max_size=4), st.just(bytes(data[start:end]) * 2)))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_each_of_its_seeds(target):
    for seed in SEEDS[target]:
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
@given(st.data())
def test_a_target_holds_for_seeds_that_were_changed(target, data):
    TARGETS[target](data.draw(changed(SEEDS[target])))


@pytest.mark.parametrize(
    ("target", "module", "name", "broken"),
    [
        ("request_parser", Overhead, "read", lambda _self, _size: True),
        ("response_parser", Overhead, "read", lambda _self, _size: True),
        (
            "response_parser",
            fuzz_targets,
            "response_bytes",
            lambda head, _added: b"HTTP/1.1 200 %b\r\n\r\n" % head.reason,
        ),
        ("heads", fuzz_targets, "request_bytes", lambda *_: b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("paths", path_rules, "_plain_readings", lambda _path: set()),
    ],
)
def test_a_target_notices_what_is_broken(monkeypatch, target, module, name, broken):
    monkeypatch.setattr(module, name, broken)
    with pytest.raises((AssertionError, ValueError)):
        all(TARGETS[target](seed) is None for seed in SEEDS[target])


@pytest.mark.program
@pytest.mark.real_time
def test_the_fuzzer_finds_nothing_in_a_minute_of_a_processor():
    done = subprocess.run(
        [sys.executable, HERE / "fuzz.py", "--seconds", "60"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("nothing failed") == len(TARGETS)
