"""The controller and the gateway in a cluster: real API server, real pods, real HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from cluster_kit import BUDGETS, QUICK, condition, free_port, is_ready, until
from in_process import paint, web_uis

from autoscaler.testing import budget_document

pytestmark = [pytest.mark.program, pytest.mark.real_time]


async def test_a_request_that_meets_zero_pods_is_held_served_and_everything_goes_back_to_zero(installation):
    await installation.make()
    port = free_port()
    await installation.apply(traffic={"hosts": ["sd.example.com"], "port": port}, maxReplicas=3, **QUICK)
    async with web_uis(port, 0.5) as pods, installation.gateway() as gateway, aiohttp.ClientSession() as session:
        address = f"127.0.0.1:{gateway.metrics_port}"
        async with installation.controller(gateways=(address,)) as whole:
            await until(whole.leads)
            statuses = await asyncio.gather(*(paint(session, gateway) for _ in range(6)))
            assert statuses == [200] * 6
            assert max(report["overlaps"] for report in pods.reports().values()) == 0
            assert max(record.decision.desired for record in whole.records) == 3

            await installation.replicas_are(0)
            status = await installation.policy_is(lambda status: status.get("readyReplicas") == 0)
            assert condition(status, "Ready") == ("True", "ScalingActive")
            assert status["desiredReplicas"] == status["inflight"] == 0
            assert status["lastDecision"]["written"] is True
            assert "SuccessfulRescale" in {reason for reason, _ in await installation.events()}


async def test_status_is_not_written_while_nothing_changes(installation):
    await installation.make(replicas=1)
    await installation.apply(minReplicas=1)
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.policy_is(lambda status: status.get("readyReplicas") == 1)
        before = (await installation.ask("get", f"{installation.policies}/web"))["metadata"]["resourceVersion"]
        number = len(whole.records)
        await until(lambda: len(whole.records) > number + 5)
        after = (await installation.ask("get", f"{installation.policies}/web"))["metadata"]["resourceVersion"]
        assert after == before


async def test_policies_come_change_and_go_while_it_runs(installation):
    await installation.make()
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.apply(minReplicas=1)
        await installation.replicas_are(1)
        await installation.change(spec={"minReplicas": 2})
        await installation.replicas_are(2)

        await installation.change(spec={"mode": "DryRun", "minReplicas": 3})
        await installation.policy_is(lambda s: s.get("desiredReplicas") == 3)
        await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "DryRun"))
        assert await installation.replicas() == 2

        await installation.ask("delete", f"{installation.policies}/web")
        await until(lambda: not whole.services)
        assert await installation.replicas() == 2


async def test_a_server_that_the_operator_does_not_name_is_not_asked_and_its_policy_is_held_until_he_does(
    installation, tmp_path
):
    asked = []

    async def answer(reader, writer):
        asked.append(await reader.readline())
        writer.close()

    await installation.make(replicas=2)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        file = tmp_path / "servers.yaml"
        file.write_text("servers: [{address: http://nobody.invalid}]")
        await installation.apply(minReplicas=3, metrics={"prometheus": {"serverAddress": address}})
        async with installation.controller(prometheus_credentials=file) as whole:
            await until(whole.leads)
            status = await installation.policy_is(lambda s: condition(s, "Ready") == ("False", "InvalidPolicy"))
            message = next(c["message"] for c in status["conditions"] if c["type"] == "Ready")
            assert message.startswith(f"spec.metrics.prometheus.serverAddress: {address} may not be used")
            assert await installation.replicas() == 2
            assert asked == []

            file.write_text(f"servers: [{{address: '{address}'}}]")
            await installation.replicas_are(3)
            assert asked[0].startswith(b"POST /api/v1/query")
            await installation.policy_is(lambda s: condition(s, "Ready")[1] != "InvalidPolicy")


async def test_an_illegal_policy_says_so_and_the_one_before_stays_in_force(installation):
    await installation.make()
    await installation.apply(minReplicas=1)
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.replicas_are(1)
        await installation.change(
            metadata={"annotations": {"inflight.dev/paused-until": "soon"}}, spec={"minReplicas": 2}
        )
        status = await installation.policy_is(lambda s: condition(s, "Ready") == ("False", "InvalidPolicy"))
        message = next(c["message"] for c in status["conditions"] if c["type"] == "Ready")
        assert message.startswith("metadata.annotations.inflight.dev/paused-until: 'soon': must be a time")
        assert await installation.replicas() == 1


def soon(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_pause_holds_and_a_manual_override_sets_the_number_until_they_end(installation):
    await installation.make()
    await installation.apply(minReplicas=1)
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.replicas_are(1)
        key = "inflight.dev/"
        await installation.change(metadata={"annotations": {f"{key}paused-until": soon(3600)}}, spec={"minReplicas": 2})
        await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "Paused"))
        assert await installation.replicas() == 1

        override = {f"{key}replicas": "3", f"{key}replicas-until": soon(3), f"{key}paused-until": None}
        await installation.change(metadata={"annotations": override})
        await installation.replicas_are(3)
        await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "ManualOverride"))
        await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "FailedGetExternalMetric"))
        assert await installation.replicas() == 3


async def test_another_writer_is_told_of_once_and_is_left_alone(installation):
    await installation.make()
    await installation.apply(minReplicas=1)
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.replicas_are(1)
        await installation.scale(0)
        status = await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "ForeignWriter"))
        assert status["desiredReplicas"] == 0
        number = len(whole.records)
        await until(lambda: len(whole.records) > number + 4)
        assert [reason for reason, _ in await installation.events()].count("ForeignWriter") == 1
        assert await installation.replicas() == 0


async def test_a_number_that_is_applied_under_load_is_raised_to_what_is_in_flight(installation):
    await installation.make(annotations={"inflight.test/cold-start-s": "3600"})
    port = free_port()
    await installation.apply(traffic={"hosts": ["sd.example.com"], "port": port}, **QUICK)
    async with installation.gateway() as gateway, aiohttp.ClientSession() as session:
        address = f"127.0.0.1:{gateway.metrics_port}"
        async with installation.controller(gateways=(address,)) as whole:
            await until(whole.leads)
            held = [asyncio.create_task(paint(session, gateway)) for _ in range(4)]
            await installation.replicas_are(4)
            for applied in (1, 0, 3):
                await installation.scale(applied)
                await until(
                    lambda applied=applied: any(record.observation.replicas == applied for record in whole.records)
                )
                await installation.replicas_are(4)
            status = await installation.policy_is(lambda s: condition(s, "ScalingActive") == ("False", "ForeignWriter"))
            assert (status["minReplicas"], status["maxReplicas"], status["desiredReplicas"]) == (0, 10, 4)
            for request in held:
                request.cancel()
            await asyncio.gather(*held, return_exceptions=True)


async def test_when_the_leader_goes_the_other_one_goes_on_with_all_that_it_knows(installation):
    await installation.make()
    await installation.apply(minReplicas=1)
    async with installation.controller("one") as one:
        await until(one.leads)
        async with installation.controller("two") as two:
            await installation.replicas_are(1)
            await until(lambda: two.records and two.records[-1].observation.replicas == 1)
            assert all(record.outcome is None for record in two.records)
            one.task.cancel()
            await asyncio.gather(one.task, return_exceptions=True)
            await installation.change(spec={"minReplicas": 2})
            await until(two.leads)
            await installation.replicas_are(2)
            assert await installation.replicas() == 2


async def test_of_two_policies_for_one_target_the_younger_says_so_until_the_older_is_gone(installation):
    await installation.make()
    await installation.apply(minReplicas=1)
    await asyncio.sleep(1.1)  # their age is told in whole seconds
    await installation.apply("younger", scaleTargetRef={"name": "web"}, minReplicas=2)
    async with installation.controller() as whole:
        await until(whole.leads)
        await installation.replicas_are(1)
        status = await installation.policy_is(
            lambda s: condition(s, "ScalingActive") == ("False", "AmbiguousTarget"), "younger"
        )
        message = next(c["message"] for c in status["conditions"] if c["type"] == "ScalingActive")
        namespace = installation.namespace
        assert message == f"Deployment {namespace}/web is scaled by {namespace}/web, an older policy"
        assert await installation.replicas() == 1

        await installation.ask("delete", f"{installation.policies}/web")
        await installation.replicas_are(2)
        await installation.policy_is(lambda s: s.get("desiredReplicas") == 2, "younger")


async def test_a_policy_in_a_file_is_paused_by_its_annotation(installation, tmp_path):
    await installation.make(replicas=1)
    file = tmp_path / "policy.yaml"
    text = f"""
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {{name: web, namespace: {installation.namespace}, annotations: {{inflight.dev/paused-until: "{soon(3600)}"}}}}
spec: {{scaleTargetRef: {{name: web}}, minReplicas: 2}}
"""
    file.write_text(text)
    async with installation.controller(resources=False, files=(file,)) as whole:
        await until(lambda: whole.leads() and whole.records)
        assert {reason.rule for reason in whole.records[-1].decision.reasons} == {"minReplicas", "paused"}
        assert await installation.replicas() == 1
        file.write_text(text.replace(f', annotations: {{inflight.dev/paused-until: "{text.split(chr(34))[1]}"}}', ""))
        await installation.replicas_are(2)


async def test_policies_from_files_are_followed_without_any_resource(installation, tmp_path):
    await installation.make()
    file = tmp_path / "policy.yaml"
    text = f"""
apiVersion: inflight.dev/v1alpha1
kind: ScalingPolicy
metadata: {{name: web, namespace: {installation.namespace}}}
spec: {{scaleTargetRef: {{name: web}}, minReplicas: 1}}
"""
    file.write_text(text)
    async with installation.controller(resources=False, files=(file,)) as whole:
        await until(whole.leads)
        await installation.replicas_are(1)
        file.write_text(text.replace("minReplicas: 1", "minReplicas: [1"))
        await asyncio.sleep(1.5)
        file.write_text(text.replace("minReplicas: 1", "minReplicas: 2"))
        await installation.replicas_are(2)


async def test_gateways_are_found_by_their_label_and_one_that_is_not_heard_makes_the_count_unknown(installation):
    await installation.make()
    await installation.apply()
    await installation.make("gateway", replicas=1)
    await installation.wait_pods(lambda pods: any(map(is_ready, pods.values())), "gateway")
    async with installation.controller(gateway_label="app=gateway") as whole:
        await until(lambda: whole.records and ":9090 does not report" in whole.records[-1].observation.problem)


async def test_two_services_share_a_budget_and_who_waits_gets_its_share_when_the_others_pods_are_gone(installation):
    for name in ("web", "first"):
        await installation.make(name)
        await installation.apply(name, minReplicas=3)
    terms = [{"name": "first", "priority": 1}, {"name": "web", "guaranteed": 1}]
    spec = {"gpus": 4, "namespaces": [installation.namespace], "services": terms}
    name = f"budget-of-{installation.namespace}"
    await installation.ask("create", BUDGETS, budget_document(name, **spec))
    try:
        async with installation.controller(namespace="") as whole:
            await until(whole.leads)
            await installation.replicas_are(3, "first")
            await installation.replicas_are(1)
            status = await installation.policy_is(
                lambda s: condition(s, "ScalingLimited") == ("True", "BudgetExceeded")
            )
            message = next(each["message"] for each in status["conditions"] if each["type"] == "ScalingLimited")
            assert message.startswith(f"GpuBudget {name}: of 4 GPUs {installation.namespace}/first has 3")

            await installation.change("first", spec={"minReplicas": 1, "maxReplicas": 1})
            await installation.replicas_are(3)
            ended = {"used": 4, "wanted": 4, "limited": 0}
            await installation.ask("wait", BUDGETS, lambda all_: ended.items() <= all_[name].get("status", {}).items())
            totals = [
                sum(record.decision.desired for record in latest.values())
                for latest in _latest_decisions(whole.records, installation.namespace)
            ]
            assert max(totals) <= 4
    finally:
        await installation.ask("delete", f"{BUDGETS}/{name}")


def _latest_decisions(records, namespace):
    """Give the last decision on each service of a namespace after each record."""
    latest = {}
    for record in records:
        if record.service.startswith(f"{namespace}/"):
            latest[record.service] = record
            yield dict(latest)
