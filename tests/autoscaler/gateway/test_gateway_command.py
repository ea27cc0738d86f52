"""`autoscaler gateway`, as a process."""

import signal

import pytest
from gateway_kit import answer_ok
from gateway_program import document

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


async def test_on_sigterm_open_requests_get_no_more_than_the_grace(kit, programs):
    pod = await kit.pod()
    gateway = await programs.start(document(backends=[pod.address]), "--grace=0s")
    client = await gateway.connected(kit)
    client.post()
    job = await pod.next()
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.ended() == 0
    assert await job.body() is not None


async def test_a_service_without_backends_needs_a_cluster_and_where_there_is_none_it_says_so(programs):
    gateway = await programs.start(document(scaleTargetRef={"name": "sd"}), HOME="/nonexistent")
    _, told = await gateway.process.communicate()
    assert gateway.process.returncode == 2
    assert b"no Kubernetes cluster is configured" in told


async def test_a_file_that_takes_a_service_from_its_backends_changes_nothing(kit, programs):
    pod = await kit.pod()
    gateway = await programs.start(document(backends=[pod.address]))
    told = ""
    client = await gateway.connected(kit)
    for _ in range(2):  # before and after
        client.post()
        (await pod.next()).reply()
        assert (await client.response()).body == b"ok"
        gateway.config.write_text(document(scaleTargetRef={"name": "sd"}))
        if not told:
            told = await gateway.said("not reloaded")
    assert "default/sd has no backends; to watch pods, restart the gateway" in told


@pytest.mark.parametrize(("options", "kept"), [((), []), (("--underscores=pass",), [b"1"])], ids=["drop", "pass"])
async def test_headers_with_underscores_are_dropped_unless_an_option_passes_them(kit, programs, options, kept):
    pod = await kit.pod()
    gateway = await programs.start(document(backends=[pod.address]), *options)
    client = await gateway.connected(kit)
    client.post("/", b"{}", "X_A: 1")
    assert (await pod.next()).all(b"x_a") == kept


async def test_hosts_of_every_kind_are_served(kit, programs):
    pod = await kit.pod(answer_ok)
    hosts = ["*", "sd_webui.local", "[::1]", "*.a_b.example"]
    gateway = await programs.start(document(backends=[pod.address], traffic={"hosts": hosts}))
    client = await gateway.connected(kit)
    for host in ["anything", "SD_webui.local:80", "[::1]:80", "x.a_b.example", "10.0.0.1"]:
        assert (await client.get(host=host).response()).status == 200
