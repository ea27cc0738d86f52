"""A real Prometheus that wants a certificate, a name and a password, and one behind a peer that wants a token."""

import itertools
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from aiohttp import web
from metrics_peers import EXPRESSION, SERIES, Exporter, Prometheus, until

from autoscaler.ports import Query
from autoscaler.sources.prometheus import PrometheusSource
from autoscaler.sources.prometheus_credentials import PrometheusCredentials

pytestmark = [pytest.mark.program, pytest.mark.real_time]

PASSWORD = "correct horse"  # noqa: S105 - of a server that a test starts
HASHED = "$2b$04$PGp19vlhHIUtzSlqal2uYuXvsf8qe8V9ISTkZfDlIxm48vA0oaes6"
NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def guarded(prometheus_binary, tmp_path_factory):
    """Run a Prometheus that speaks TLS, wants a certificate of its authority, and knows one name and password."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    server = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    client = authority.issue_cert("inflight", key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    for name, certificate in (("server", server), ("tls", client)):
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
    tls = {
        "cert_file": "server.crt",
        "key_file": "server.key",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.crt",
    }
    web_config = {"tls_server_config": tls, "basic_auth_users": {"inflight": HASHED}}
    with Prometheus(prometheus_binary, folder, web=web_config).running() as prometheus:
        prometheus.folder = folder
        yield prometheus


@pytest.fixture
async def scraped(guarded):
    """Give the name of a service that it counts five requests of."""
    exporter, service = Exporter(), f"access/s{next(NUMBERS)}"
    exporter.says(service, 5)
    async with exporter.served(guarded.exporter_ports[0]):
        yield service


def known(folder, server, **without):
    """Write a credentials file that says all that the server wants, but for what is left out or said otherwise."""
    (folder / "password").write_text(PASSWORD)
    tls = {"ca_file": "ca.crt", "cert_file": "tls.crt", "key_file": "tls.key"} | without.pop("tls", {})
    settings = {
        "address": server,
        "basic_auth": {"username": "inflight", "password_file": "password"},
        "tls_config": {key: value for key, value in tls.items() if value is not None},
        **without,
    }
    (folder / "servers.yaml").write_text(json.dumps({"servers": [settings]}))
    return folder / "servers.yaml"


def reader(session, path, server, service):
    source = PrometheusSource(session, credentials=PrometheusCredentials(path) if path else None)

    async def read():
        return (await source.read({service: Query(server, EXPRESSION, SERIES, max_age_s=10)}, time.time()))[service]

    return read


async def test_with_certificate_name_and_password_it_is_read(guarded, scraped, session):
    read = reader(session, known(guarded.folder, guarded.server), guarded.server, scraped)
    reading = await until(read, lambda reading: reading.value is not None)
    assert (reading.value, reading.problem) == (5, "")


@pytest.mark.parametrize(
    ("without", "problem"),
    [
        ({"tls": {"ca_file": None}}, "its certificate is not trusted ("),
        (
            {"tls": {"server_name": "other"}},
            "Hostname mismatch",
        ),
        ({"tls": {"cert_file": None, "key_file": None}}, "not reachable"),
        (
            {"basic_auth": None},
            "refused: HTTP 401 Unauthorized; the credentials in ",
        ),
        ({"basic_auth": {"username": "other", "password_file": "password"}}, "refused: HTTP 401 Unauthorized"),
        ({"basic_auth": {"username": "inflight", "password_file": "gone"}}, "password_file {}/gone: No such file"),
    ],
)
async def test_without_one_of_them_it_is_unknown_and_why_is_said(guarded, session, without, problem):
    path = known(guarded.folder, guarded.server, **without)
    reading = await reader(session, path, guarded.server, "access/none")()
    assert reading.value is None
    assert problem.format(guarded.folder) in reading.problem
    assert PASSWORD not in reading.problem


async def test_with_no_credentials_file_it_is_unknown_and_what_is_missing_is_said(prometheus, scraped, session):
    async with asking_for_a_token(prometheus.server, "secret") as address:
        reading = await reader(session, None, address, scraped)()
    assert reading.value is None
    assert "refused: HTTP 401 Unauthorized; no --prometheus-credentials are given" in reading.problem


async def test_a_password_that_is_changed_is_read_again(guarded, scraped, session):
    path = known(guarded.folder, guarded.server)
    (guarded.folder / "password").write_text("old")
    read = reader(session, path, guarded.server, scraped)
    assert "HTTP 401" in (await read()).problem
    (guarded.folder / "password").write_text(PASSWORD)
    assert (await until(read, lambda reading: reading.value is not None)).value == 5


async def test_a_certificate_that_is_replaced_is_shown_from_then_on(guarded, scraped, session):
    good = (guarded.folder / "tls.crt").read_bytes(), (guarded.folder / "tls.key").read_bytes()
    stranger = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("inflight", key_type=trustme.KeyType.ECDSA)
    other = guarded.folder / "rotated.crt", guarded.folder / "rotated.key"
    stranger.cert_chain_pems[0].write_to_path(other[0])
    stranger.private_key_pem.write_to_path(other[1])
    path = known(guarded.folder, guarded.server, tls={"cert_file": "rotated.crt", "key_file": "rotated.key"})
    read = reader(session, path, guarded.server, scraped)
    assert "not reachable" in (await read()).problem
    for file, content in zip(other, good, strict=True):
        file.write_bytes(content)
    assert (await until(read, lambda reading: reading.value is not None)).value == 5


# A token.


@asynccontextmanager
async def asking_for_a_token(prometheus, token):
    """Pass on to a Prometheus what comes with a token, and give the address."""

    async def answer(request):
        if request.headers.get("Authorization") != f"Bearer {token}":
            return web.Response(status=401, text="Unauthorized")
        body = await request.read()
        headers = {"Content-Type": request.headers["Content-Type"]}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{prometheus}{request.path}", data=body, headers=headers) as found,
        ):
            return web.Response(body=await found.read(), status=found.status, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_with_a_token_it_is_read_and_so_is_its_past_and_a_new_token_is_read_again(prometheus, session, tmp_path):
    exporter, service = Exporter(), f"access/s{next(NUMBERS)}"
    exporter.says(service, 5)
    async with exporter.served(prometheus.exporter_ports[0]), asking_for_a_token(prometheus.server, "new") as address:
        servers = {"servers": [{"address": f"{address}/", "authorization": {"credentials_file": "token"}}]}
        (tmp_path / "servers.yaml").write_text(json.dumps(servers))
        (tmp_path / "token").write_text("old")
        read = reader(session, tmp_path / "servers.yaml", address, service)
        assert "HTTP 401 Unauthorized; the credentials in " in (await read()).problem
        (tmp_path / "token").write_text("newer")
        (tmp_path / "token").write_text("new")
        assert (await until(read, lambda reading: reading.value is not None)).value == 5

        source = PrometheusSource(session, credentials=PrometheusCredentials(tmp_path / "servers.yaml"))
        query = Query(address, EXPRESSION, SERIES, max_age_s=10)
        past = (await source.history({service: query}, time.time(), span_s=10, step_s=1))[service]
        assert (past.problem, past.readings[-1].reading.value) == ("", 5)
