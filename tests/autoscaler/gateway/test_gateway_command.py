"""The command as an outsider starts it: a file, two ports, and no cluster."""

import asyncio
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_kit import answer_ok, in_time

from autoscaler.cli import main

pytestmark = pytest.mark.real_time

DOCUMENT = Path(__file__).parents[3] / "docs" / "gateway.md"
PORTS = ["--port", "0", "--metrics-port", "0"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def example(tmp_path):
    """The file of docs/gateway.md."""
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "gateway.yaml").write_text(text)
    return tmp_path / "gateway.yaml"


@asynccontextmanager
async def command(config, *options):
    """Run the command, give the port it listens on, and see it end with 0."""
    port, metrics_port = free_port(), free_port()
    ports = ["--port", str(port), "--metrics-port", str(metrics_port)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "autoscaler.cli", "gateway", "--config", config, *ports, *options),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while not await listens(port):
                assert process.returncode is None
        yield port
    finally:
        for _ in range(2):  # it drains at the first, and ends at the second
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
        assert await in_time(process.wait()) == 0


async def listens(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        await asyncio.sleep(0.02)
        return False
    writer.close()
    return True


async def test_the_documented_example_serves_and_its_cookie_outlives_the_process_with_a_key(kit, example):
    pod = await kit.pod(answer_ok)
    example.write_text(example.read_text().replace("127.0.0.1:7860, 127.0.0.1:7861", pod.address))
    key = example.with_name("key")
    key.write_bytes(b"k" * 32)
    options = "--cookie-key", key, "--trusted-proxies", "127.0.0.0/8,::1/128"
    async with command(example, *options) as port:
        client = (await kit.connect(port)).post("/sdapi/v1/txt2img", b"{}", "X-Forwarded-Proto: https")
        response = await client.response()
        cookie = response.get(b"set-cookie")
        assert response.body == b"ok"
        assert cookie.startswith(b"sd=")
        assert cookie.endswith(b"; Secure")
    async with command(example, *options) as port:
        known = (await kit.connect(port)).get("/", f"Cookie: {cookie.partition(b';')[0].decode()}")
        assert (await known.response()).get(b"set-cookie") is None
        assert (await (await kit.connect(port)).get("/").response()).get(b"set-cookie") is not None


async def test_a_key_that_is_too_short_is_named_with_what_is_legal(example, capsys):
    (key := example.with_name("key")).write_bytes(b"short")
    assert main(["gateway", "--config", str(example), "--cookie-key", str(key), *PORTS]) == 2
    assert capsys.readouterr().err == f"{key}: 5 bytes; a key for cookies has 16 to 64\n"


async def test_a_network_that_is_none_is_named(example, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["gateway", "--config", str(example), "--trusted-proxies", "10.0.0.0/33", *PORTS])
    assert ended.value.code == 2
    assert "invalid networks value: '10.0.0.0/33'" in capsys.readouterr().err
