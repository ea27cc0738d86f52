"""Whoever else writes the number under load: kubectl, tools of GitOps, the real HPA, and the HPA of a ScaledObject.

Argo CD and Flux do not run here. A loop plays them: it applies its manifest again as soon as the number differs, with
their field managers and by server-side apply.
"""

import asyncio
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import yaml
from cluster_kit import CRDS, QUICK, condition, define, free_port, until, workload
from control_plane import RefusedError
from in_process import paint
from kubectl import kubectl

pytestmark = [pytest.mark.program, pytest.mark.real_time]

IN_FLIGHT = 4
NEVER_READY = {"inflight.test/cold-start-s": "3600"}
APPLY = "application/apply-patch+yaml"


def manifest(replicas):
    """Give the Deployment as it stands in Git; without a number if that is None."""
    item = {"apiVersion": "apps/v1", "kind": "Deployment"} | workload(replicas=replicas, annotations=NEVER_READY)
    if replicas is None:
        del item["spec"]["replicas"]
    return item


@asynccontextmanager
async def under_load(it):
    """Have a service with as many requests in flight as it has replicas, none of which becomes ready."""
    await it.apply(traffic={"hosts": ["sd.example.com"], "port": free_port()}, **QUICK)
    async with (
        it.gateway() as gateway,
        aiohttp.ClientSession() as session,
        it.controller(gateways=(f"127.0.0.1:{gateway.metrics_port}",)) as whole,
    ):
        await until(whole.leads)
        held = [asyncio.create_task(paint(session, gateway)) for _ in range(IN_FLIGHT)]
        await it.replicas_are(IN_FLIGHT)
        try:
            yield whole
        finally:
            for request in held:
                request.cancel()
            await asyncio.gather(*held, return_exceptions=True)


async def seen(whole, replicas):
    """Wait until the controller has observed this number."""
    after = len(whole.records)
    await until(lambda: any(record.observation.replicas == replicas for record in whole.records[after:]))


async def kubectl_in(it, *words, body=None):
    body = None if body is None else yaml.safe_dump(body)
    return await asyncio.to_thread(kubectl, it.control_plane, *words, "--namespace", it.namespace, body=body)


async def test_a_person_with_kubectl_starves_no_request_and_a_higher_number_stays(installation):
    it = installation
    await kubectl_in(it, "apply", "-f", "-", body=manifest(1))
    async with under_load(it) as whole:
        for words, body, number in (
            (("apply", "-f", "-"), manifest(1), 1),
            (("scale", "deployment/web", "--replicas=0"), None, 0),
            (("apply", "-f", "-"), manifest(None), 1),
        ):
            observing = asyncio.create_task(seen(whole, number))
            await kubectl_in(it, *words, body=body)
            await observing
            await it.replicas_are(IN_FLIGHT)

        before = len(whole.records)
        assert "unchanged" in await kubectl_in(it, "apply", "-f", "-", body=manifest(None))
        with pytest.raises(RefusedError, match=r"conflict with \"inflight\""):
            await kubectl_in(it, "apply", "--server-side", "-f", "-", body=manifest(1))
        assert {record.observation.replicas for record in whole.records[before:]} <= {IN_FLIGHT}

        await kubectl_in(it, "scale", "deployment/web", "--replicas=7")
        await seen(whole, 7)
        status = await it.policy_is(lambda status: status.get("desiredReplicas") == 7)
        assert condition(status, "ScalingActive") == ("False", "ForeignWriter")
        assert await it.replicas() == 7


async def test_an_annotation_on_the_deployment_is_said_to_have_no_effect(installation):
    it = installation
    await it.make(replicas=1)
    await it.apply(minReplicas=1)
    async with it.controller() as whole:
        await until(whole.leads)
        await it.policy_is(lambda status: status.get("readyReplicas") == 1)
        await kubectl_in(it, "annotate", "deployment/web", "inflight.dev/paused=true")
        status = await it.policy_is(lambda status: condition(status, "AnnotationIgnored") == ("True", "OnTarget"))
        message = next(each["message"] for each in status["conditions"] if each["type"] == "AnnotationIgnored")
        assert message.endswith("inflight.dev/paused (unknown key; did you mean inflight.dev/paused-until?)")
        await kubectl_in(it, "annotate", "deployment/web", "inflight.dev/paused-")
        await it.policy_is(lambda status: condition(status, "AnnotationIgnored") is None)
        assert "AnnotationIgnored" in {reason for reason, _ in await it.events()}


async def contested(it, whole, *named):
    """Wait until the number is contested, and see that it was written three times and no more."""
    status = await it.policy_is(lambda status: condition(status, "ReplicasContested") == ("True", "WrittenAgain"))
    message = next(each["message"] for each in status["conditions"] if each["type"] == "ReplicasContested")
    assert all(word in message for word in named), message
    assert condition(status, "ScalingActive") == ("False", "ReplicasContested")
    after = len(whole.records)
    await until(lambda: len(whole.records) > after + 4)
    assert sum(record.written is not None for record in whole.records) == 3
    await until_event(it, "ReplicasContested")


async def until_event(it, reason):
    path = it.path("apis/events.k8s.io/v1", "events")
    await it.ask("wait", path, lambda events: any(event["reason"] == reason for event in events.values()))


@asynccontextmanager
async def reverting(it, manager):
    """Play a tool of GitOps that applies `replicas: 1` as soon as there is another number."""

    def is_another(found):
        return found["web"]["spec"]["replicas"] != 1

    async def revert():
        while True:
            with suppress(TimeoutError):
                await it.ask("wait", it.workloads(), is_another, deadline_s=2)
                path = f"{it.workloads()}/web?fieldManager={manager}&force=true"
                await it.ask("patch", path, manifest(1), APPLY)

    reverts = asyncio.create_task(revert())
    try:
        yield
    finally:
        reverts.cancel()
        await asyncio.gather(reverts, return_exceptions=True)


@pytest.mark.parametrize("manager", ["argocd-controller", "kustomize-controller"])
async def test_a_tool_that_reverts_again_and_again_is_named_and_not_fought(installation, manager):
    it = installation
    await it.ask("patch", f"{it.workloads()}/web?fieldManager={manager}&force=true", manifest(1), APPLY)
    async with under_load(it) as whole, reverting(it, manager):
        await contested(it, whole, f"{manager} has written 1", "remove `replicas` from the manifest")
        assert await it.replicas() == 1


async def autoscaler(it, name):
    """Have a HorizontalPodAutoscaler that allows fewer replicas than there are requests in flight."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 2}
    path = it.path("apis/autoscaling/v2", "horizontalpodautoscalers")
    await it.ask("create", path, {"metadata": {"name": name}, "spec": spec})


async def test_the_real_autoscaler_of_kubernetes_is_named_and_not_fought(installation):
    it = installation
    await it.make(annotations=NEVER_READY)
    async with under_load(it) as whole:
        await autoscaler(it, "other")
        await contested(it, whole, f"HorizontalPodAutoscaler {it.namespace}/other has written 2", "delete it")


async def test_the_autoscaler_of_a_scaled_object_is_named_as_the_scaled_object(installation):
    it = installation
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {
            "group": "keda.sh",
            "names": {"kind": "ScaledObject", "plural": "scaledobjects"},
            "scope": "Namespaced",
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
        },
    }
    await asyncio.to_thread(define, it.control_plane, definition)
    body = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "sd"}}
    objects = it.path("apis/keda.sh/v1alpha1", "scaledobjects")
    await it.ask("create", objects, {**body, "spec": {"scaleTargetRef": {"name": "web"}}})
    await it.make(annotations=NEVER_READY)
    async with under_load(it) as whole:
        await autoscaler(it, "keda-hpa-sd")
        await contested(it, whole, f"ScaledObject {it.namespace}/sd has written 2", "delete it")
    await it.ask("delete", f"{CRDS}/scaledobjects.keda.sh")
