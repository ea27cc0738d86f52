"""Behaviours 90 to 93 of docs/reference/gateway.md: whose host it is, and whose backend."""

import asyncio
import json
import sys

import pytest
from gateway_kit import HOST, NAME, PATIENCE_S, answer_ok, refused_port, service, until
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.gateway.host_routes import Routes
from autoscaler.gateway.lifecycle import reload
from autoscaler.testing import policy_document

pytestmark = pytest.mark.real_time

THIEF = "dev/thief"
names = st.lists(st.sampled_from(["a", "b", "com"]), min_size=1, max_size=3).map(".".join)
hosts = st.one_of(st.just("*"), names, names.map("*.{}".format))


@given(st.dictionaries(st.sampled_from("pqrs"), st.lists(hosts, max_size=3).map(tuple)), st.randoms(), names)
def test_b90_the_order_of_services_changes_no_route(claimed, rng, host):
    services = {name: service(name=name, hosts=found) for name, found in claimed.items()}
    shuffled = list(services.items())
    rng.shuffle(shuffled)
    assert Routes(dict(shuffled)).find(host) == Routes(services).find(host)


def test_b90_a_host_of_a_policy_that_is_not_served_falls_back_to_no_wildcard():
    routes = Routes({"a/all": service(name="a/all", hosts=("*.example.com",))}, {"kept.example.com"})
    assert [routes.find(f"{name}.example.com") for name in ("kept", "x")] == [None, "a/all"]


def test_b90_a_host_longer_than_any_name_matches_no_wildcard():
    routes = Routes({"a/all": service(name="a/all", hosts=("*",))})
    assert (routes.find("x." * 126 + "x"), routes.find("x." * 15_000)) == ("a/all", None)


async def test_b91_backends_that_a_policy_names_no_more_are_sent_nothing_new(kit):
    old, new = await kit.pod(), await kit.pod(answer_ok)
    gateway = await kit.gateway(service(backends={old.address: old.address}))
    running = (await kit.client(gateway)).post("/running")
    job = await old.next()
    assert await reload(gateway, lambda: {NAME: service()})
    held = (await kit.client(gateway)).post("/held")
    await until(lambda: gateway.dispatcher(NAME).queued == 1)
    gateway.add_backend(NAME, "new", new.address)
    assert (await held.response()).body == b"ok"
    await job.body()
    job.reply()
    assert (await running.response()).status == 200
    assert (old.seen, new.seen) == (["/running"], ["/held"])


def document(service_name, *, hosts=(HOST,), backends=()):
    return json.dumps(policy_document(service_name, backends=list(backends), traffic={"hosts": list(hosts)}))


@pytest.fixture
async def start(tmp_path):
    """Starts the gateway's command on some documents; gives the process and its port."""
    config, started = tmp_path / "services.yaml", []

    async def starting(*documents, claims=None):
        config.write_text("\n---\n".join(documents))
        arguments = ["--config", config, "--port", refused_port(), "--metrics-port", refused_port()]
        if claims is not None:
            (tmp_path / "claims.yaml").write_text(json.dumps(claims))
            arguments += ["--host-claims", tmp_path / "claims.yaml"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "autoscaler", "gateway", *map(str, arguments)), stderr=asyncio.subprocess.PIPE
        )
        started.append(process)
        return process, arguments[3], config

    yield starting
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process, words):
    async with asyncio.timeout(PATIENCE_S):
        while words not in (line := (await process.stderr.readline()).decode()):
            assert line, "it has ended"
    return line


CONFLICTS = {
    "one host": ([document(NAME, backends=["a:1"]), document(THIEF, hosts=["SD.example.com"], backends=["b:1"])], HOST),
    "a name below the wildcard of another namespace": (
        [document(NAME, hosts=["*.example.com"], backends=["a:1"]), document(THIEF, backends=["b:1"])],
        "*.example.com",
    ),
    "one backend": (
        [document(NAME, backends=["a:1"]), document(THIEF, hosts=["x"], backends=["A:1"])],
        "spec.backends",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("documents", "named"), CONFLICTS.values(), ids=CONFLICTS)
async def test_b92_a_file_in_which_two_services_have_one_host_or_backend_is_refused(start, documents, named, reverse):
    process, _, config = await start(*(reversed(documents) if reverse else documents))
    _, told = await process.communicate()
    assert process.returncode == 2
    for words in (f"{config}:", named, NAME, THIEF):
        assert words in told.decode()


@pytest.mark.slow
async def test_b92_a_reload_that_gives_a_host_to_another_changes_nothing(kit, start):
    pod, thief = await kit.pod(answer_ok), await kit.pod(answer_ok)
    process, port, config = await start(document(NAME, backends=[pod.address]))
    await said(process, "clients at port")
    client = (await kit.connect(port)).get()
    assert (await client.response()).body == b"ok"
    stolen = document(THIEF, backends=[thief.address])
    config.write_text("\n---\n".join([stolen, document(NAME, backends=[pod.address])]))
    await said(process, "not reloaded")
    assert (await (await kit.connect(port)).get().response()).body == b"ok"
    assert (len(pod.seen), len(thief.seen)) == (2, 0)


@pytest.mark.slow
async def test_b93_an_operators_file_says_which_namespaces_may_claim_which_hosts(kit, start):
    pods = [await kit.pod(answer_ok) for _ in range(2)]
    documents = [
        document("shop/all", hosts=["*.example.com"], backends=[pods[0].address]),
        document("pay/pay", hosts=["pay.example.com"], backends=[pods[1].address]),
    ]
    shop = {"namespace": "shop", "hosts": ["*.example.com"]}
    process, _, _ = await start(*documents, claims={"claims": [shop]})
    _, told = await process.communicate()
    assert process.returncode == 2
    assert "--host-claims lets the namespace pay claim: nothing" in told.decode()
    pay = {"namespace": "pay", "hosts": ["pay.example.com"]}
    process, port, _ = await start(*documents, claims={"claims": [shop, pay]})
    await said(process, "clients at port")
    for host in ("pay.example.com", "x.example.com"):
        assert (await (await kit.connect(port)).get(f"/{host}", host=host).response()).body == b"ok"
    assert [pod.seen for pod in pods] == [["/x.example.com"], ["/pay.example.com"]]
