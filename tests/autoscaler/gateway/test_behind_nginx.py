"""A real nginx in front of the gateway, with the settings of docs/how-to/ingress.md: TLS and HTTP/2 end there."""

import asyncio
import subprocess
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
import yaml
from gateway_kit import HOST, NAME, in_time, refused_port, service, until

from autoscaler.gateway.config import Affinity
from autoscaler.runtime import programs

pytestmark = [pytest.mark.real_time, pytest.mark.program]

INGRESS = Path(__file__).parents[3] / "manifests" / "examples" / "ingress-nginx" / "ingress.yaml"
DOCUMENTED = {
    name.rpartition("/")[2]: value
    for name, value in yaml.safe_load(INGRESS.read_text())["metadata"]["annotations"].items()
}
PICTURE_BYTES = 2 << 20
"""More than nginx takes if nothing is said."""
LOOPBACK = (ip_network("127.0.0.0/8"),)
CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    listen 127.0.0.1:{plain};
    ssl_certificate {folder}/chain.pem;
    ssl_certificate_key {folder}/key.pem;
    client_max_body_size {body_size};
    location / {{
      proxy_pass http://127.0.0.1:{gateway};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_buffering off;
      proxy_read_timeout {read_timeout}s;
      proxy_send_timeout {send_timeout}s;
      proxy_next_upstream {next_upstream};
    }}
  }}
}}
"""


class Nginx:
    """What is in front: a port for TLS, with the authority to trust there, and one without."""

    def __init__(self, folder):
        self.folder = folder
        self.tls, self.plain = refused_port(), refused_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        certificate = authority.issue_cert(HOST)
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for number, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(folder / "chain.pem", append=number > 0)

    async def curl(self, *options):
        """Start a client that speaks TLS and HTTP/2; it prints the version and the status."""
        return await asyncio.create_subprocess_exec(
            *("curl", "--silent", "--http2", "--cacert", self.folder / "authority.pem", "--output", "/dev/null"),
            *(
                "--resolve",
                f"{HOST}:{self.tls}:127.0.0.1",
                "--noproxy",
                "*",
                "--write-out",
                "%{http_version} %{http_code}",
            ),
            *(*options, f"https://{HOST}:{self.tls}/sdapi/v1/txt2img"),
            stdout=subprocess.PIPE,
        )


async def said_by(process):
    said, _ = await in_time(process.communicate())
    return said.decode()


@asynccontextmanager
async def nginx_before(gateway, folder, **settings):
    nginx = Nginx(folder)
    given = {
        "read_timeout": DOCUMENTED["proxy-read-timeout"],
        "send_timeout": DOCUMENTED["proxy-send-timeout"],
        "body_size": DOCUMENTED["proxy-body-size"],
        "next_upstream": DOCUMENTED["proxy-next-upstream"],
    } | settings
    text = CONFIG.format(folder=folder, tls=nginx.tls, plain=nginx.plain, gateway=gateway.port, **given)
    (folder / "nginx.conf").write_text(text)
    binary = programs.find("nginx") or pytest.fail("this test needs nginx: run `make programs`")
    process = await asyncio.create_subprocess_exec(
        *(binary, "-p", folder, "-e", folder / "errors", "-c", folder / "nginx.conf")
    )
    try:
        await in_time(listening(nginx.plain))
        yield nginx
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def listening(port):
    while True:
        with suppress(ConnectionError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)


async def test_a_request_over_tls_and_http2_is_held_at_zero_and_served_by_the_first_pod(kit, tmp_path):
    gateway = await kit.gateway(service(affinity=Affinity("sd", 1800)), trusted_proxies=LOOPBACK)
    async with nginx_before(gateway, tmp_path) as nginx:
        (tmp_path / "picture").write_bytes(bytes(PICTURE_BYTES))
        client = await nginx.curl("--data-binary", f"@{tmp_path / 'picture'}", "--dump-header", tmp_path / "head")
        await until(lambda: gateway.dispatcher(NAME).queued == 1)
        pod = await kit.pod()
        gateway.set_backends(NAME, {"p0": pod.address})
        request = await pod.next()
        assert request.start == b"POST /sdapi/v1/txt2img HTTP/1.1"
        assert request.all(b"X-Forwarded-Proto") == [b"https"]
        assert request.all(b"X-Forwarded-For") == [b"127.0.0.1, 127.0.0.1"]
        assert len(await request.body()) == PICTURE_BYTES
        request.reply()
        assert await said_by(client) == "2 200"
        assert "; Secure" in (tmp_path / "head").read_text()


async def test_a_proxy_that_is_less_patient_than_a_cold_start_gives_up_and_the_queue_is_empty(kit, tmp_path):
    gateway = await kit.gateway()
    async with nginx_before(gateway, tmp_path, read_timeout="1") as nginx:
        client = await nginx.curl()
        await until(lambda: gateway.dispatcher(NAME).queued == 1)
        assert await said_by(client) == "2 504"
        await until(lambda: gateway.dispatcher(NAME).queued == 0)


async def test_each_event_of_a_stream_reaches_the_client_before_the_next_is_sent(kit, tmp_path):
    pod = await kit.pod()
    gateway = await kit.gateway(pods=[pod])
    async with nginx_before(gateway, tmp_path) as nginx:
        client = (await kit.connect(nginx.plain)).get("/queue/data")
        request = await pod.next()
        request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await client.head()
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            request.send(event)
            assert await in_time(client.reader.readuntil(event))
        request.close()
