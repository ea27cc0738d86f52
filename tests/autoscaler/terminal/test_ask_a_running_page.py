"""`autoscaler top` and `autoscaler explain` ask pages that run: the demo's, and one that requires a token."""

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager

import pytest

from autoscaler.cli import main
from autoscaler.testing import policy_document

pytestmark = [pytest.mark.real_time, pytest.mark.program]

PATIENCE_S = 120
SERVICE = "default/knative-sd-demo"
TOKEN = "0123456789abcdef-a-token"  # noqa: S105 - of this test
NEW_TOKEN = "fedcba9876543210-a-token"  # noqa: S105 - of this test


@asynccontextmanager
async def started(folder, *words):
    """Run a command while the block runs; gives a function that waits for a line of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "autoscaler", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": "", "XDG_CACHE_HOME": str(folder)},  # no Prometheus
    )
    seen = []

    async def line_with(pattern):
        async with asyncio.timeout(PATIENCE_S):
            while not (found := re.search(pattern, (seen or [""])[-1])):
                seen.append((await process.stdout.readline()).decode())
                assert seen[-1], f"it ended before it said {pattern!r}: {seen}"
        return found

    try:
        yield line_with
    finally:
        if process.returncode is None:
            process.kill()  # what the demo has started ends with it
        async with asyncio.timeout(PATIENCE_S):
            await process.communicate()


@pytest.fixture
def ran(capsys):
    async def run(*words):
        status = await asyncio.to_thread(main, list(words))
        printed = capsys.readouterr()
        return status, " ".join(printed.out.split()), printed.err

    return run


async def test_the_demo_says_by_itself_what_runs_and_why(ran, tmp_path):
    load = ["-n", "2", "-c", "2", "--service-time", "constant(1000)", "--cold-start", "constant(0.2)", "--speed", "1"]
    where = ["--page", "127.0.0.1:0", "--folder", str(tmp_path / "demo")]
    async with started(tmp_path, "demo", *load, *where) as line_with:
        address = (await line_with(r"Page (http://[\d.:]+)/"))[1]
        await line_with("in flight   2 .*desired   2   ready   2")
        status, out, err = await ran("top", "--once", "--address", address)
        assert (status, err) == (0, "")
        assert re.search(f"{SERVICE} [A-Z].* [0-2]/2 [0-2] [0-2] ", out)
        status, out, err = await ran("explain", "knative-sd-demo", "--address", address)
        assert (status, err) == (0, "")
        assert out.startswith(SERVICE)
        assert "2 replicas" in out
        assert "Why not more? 3 replicas " in out
        status, out, _ = await ran("explain", SERVICE, "--json", "--address", address)
        assert (status, json.loads(out)["figures"]["asked"]) == (0, 2)


@asynccontextmanager
async def gateway_that_asks_for_tokens(folder):
    """Run a gateway whose page others than this machine can reach; gives the port, and the file of its tokens."""
    traffic = {"hosts": ["sd.example.com"], "port": 80}
    config = folder / "services.json"
    backends = ["127.0.0.1:9"]
    config.write_text(json.dumps(policy_document("sd", maxReplicas=1, backends=backends, traffic=traffic)))
    tokens = folder / "tokens"
    tokens.write_text(f"{TOKEN}\n{NEW_TOKEN}\n")
    ports = ["--port=0", "--metrics-port=0", "--host=127.0.0.1", "--page=0.0.0.0:0"]
    async with started(folder, "gateway", f"--config={config}", f"--token-file={tokens}", *ports) as line_with:
        yield (await line_with(r"page at http://0\.0\.0\.0:(\d+)/"))[1]


async def test_a_page_that_requires_a_token_is_shown_one(ran, tmp_path, monkeypatch):
    """Both at its address and through kubectl."""
    async with gateway_that_asks_for_tokens(tmp_path) as port:
        here = ["--address", f"http://127.0.0.1:{port}"]
        kubectl = tmp_path / "kubectl"
        kubectl.write_text(f'#!/bin/sh\necho "Forwarding from 127.0.0.1:{port} -> 8090"\nexec sleep 600\n')
        kubectl.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        for name, token in (("first", TOKEN), ("second", NEW_TOKEN)):
            (tmp_path / name).write_text(f"{token}\n")
            for where in (here, []):
                shown = await ran("top", "--once", "--token-file", str(tmp_path / name), *where)
                assert (shown[0], "default/sd" in shown[1]) == (0, True), shown
        status, out, err = await ran("explain", "sd", "--token-file", str(tmp_path / "first"), *here)
        assert (status, out.startswith("default/sd"), err) == (0, True, "")
        (tmp_path / "wrong").write_text("0123456789abcdef-another\n")
        for words in ([], ["--token-file", str(tmp_path / "wrong")]):
            status, _, err = await ran("top", "--once", *words, *here)
            assert (status, "answers 401" in err, "--token-file" in err) == (2, True, True)


@pytest.mark.parametrize("text", [None, "", "too short"])
def test_a_file_without_a_token_is_an_error_that_names_it(tmp_path, capsys, text):
    file = tmp_path / "tokens"
    if text is not None:
        file.write_text(text)
    assert main(["top", "--token-file", str(file)]) == 2
    err = capsys.readouterr().err
    assert str(file) in err
    assert text is None or not text or text not in err
