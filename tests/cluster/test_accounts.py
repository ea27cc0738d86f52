"""The shipped accounts: with them all works that controller and gateway do, and nothing is granted that is not used."""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cluster_kit import BUDGETS, PLURALS, QUICK, workload
from installation import OWN, Containers, Ports, answered, copied
from kubectl import apply, kubectl, objects

from autoscaler.testing import budget_document, policy_document

pytestmark = [pytest.mark.program, pytest.mark.real_time]

PATIENCE_S = 60
ACCOUNTS = ("inflight-controller", "inflight-gateway")


def test_in_the_whole_cluster_each_grant_is_used_and_none_is_missing(control_plane, namespace, tmp_path):
    ports = Ports()
    manifests = copied(tmp_path, ports)
    apply(control_plane, manifests)
    for kind in ("scalingpolicies", "gpubudgets"):
        control_plane.wait_established(f"{kind}.inflight.dev")
    with Containers(control_plane, OWN, tmp_path) as containers:
        containers.start()
        containers.start_model(ports.service)
        world = World(control_plane, namespace, ports, Resources(control_plane, namespace))
        world.everything_that_is_done(containers)
        world.resources_show_what_was_done()
        world.a_budget_shows_how_it_is_used()
    for account in ACCOUNTS:
        assert used(control_plane, OWN, account) == granted(control_plane, manifests, account)


def test_in_one_namespace_policies_from_a_file_are_served_and_each_grant_is_used(control_plane, namespace, tmp_path):
    ports = Ports()
    folder = copied(tmp_path, ports, namespace) / "overlays" / "namespaced"
    apply(control_plane, folder)
    with Containers(control_plane, namespace, tmp_path) as containers:
        containers.start()
        containers.start_model(ports.service)
        file = containers.folder_of("inflight-policies") / "policies.yaml"
        World(control_plane, namespace, ports, File(file, namespace)).everything_that_is_done(containers)
    for account in ACCOUNTS:
        assert used(control_plane, namespace, account) == granted(control_plane, folder, account)


class World:
    """A workload of each kind that the roles name, and all that there is to do with them."""

    def __init__(self, control_plane, namespace, ports, policies):
        self.control_plane, self.namespace, self.ports, self.policies = control_plane, namespace, ports, policies

    def everything_that_is_done(self, containers):
        for kind in PLURALS:
            self.control_plane.create(self.path(kind), workload(kind.lower(), kind=kind))
        self.policies.set({kind.lower(): self.spec(kind) for kind in PLURALS})
        for kind in PLURALS:
            self.a_request_at_zero_is_held_and_answered(kind)
            self.an_override_is_followed_though_the_object_changes_all_the_time(kind)
        self.another_writer_is_looked_for()
        self.a_gateway_that_died_is_looked_for(containers)

    def spec(self, kind):
        traffic = {"hosts": [f"{kind.lower()}.example.com"], "port": self.ports.service}
        return {"scaleTargetRef": {"kind": kind, "name": kind.lower()}, "maxReplicas": 5, "traffic": traffic, **QUICK}

    def a_request_at_zero_is_held_and_answered(self, kind):
        status, body = answered(self.ports.gateway, f"{kind.lower()}.example.com")
        assert status == 200, body

    def an_override_is_followed_though_the_object_changes_all_the_time(self, kind):
        """A write meets a newer version then, reads the scale and writes again; fewer pods, and some are marked."""
        since = len(self.control_plane.audit())
        with self.changing(kind):
            for number in range(40):
                replicas = 3 - number % 2
                self.policies.set_override(kind.lower(), replicas)
                self.replicas_become(kind, lambda found, replicas=replicas: found == replicas)
                if any(is_read_of_scale(event, kind) for event in self.control_plane.audit()[since:]):
                    break
        self.policies.set_override(kind.lower(), 3)
        self.replicas_become(kind, lambda replicas: replicas == 3)
        self.policies.set_override(kind.lower(), 2)
        self.replicas_become(kind, lambda replicas: replicas == 2)

    @contextmanager
    def changing(self, kind):
        over = threading.Event()

        def change():
            number = 0
            while not over.is_set():
                number += 1
                annotation = {"metadata": {"annotations": {"changes": str(number)}}}
                self.control_plane.patch(f"{self.path(kind)}/{kind.lower()}", annotation)

        changer = threading.Thread(target=change)
        changer.start()
        try:
            yield
        finally:
            over.set()
            changer.join()

    def another_writer_is_looked_for(self):
        kind = "Deployment"
        self.control_plane.patch(f"{self.path(kind)}/{kind.lower()}/scale", {"spec": {"replicas": 5}})
        self.until_audited(is_look_for_a_rival)

    def a_gateway_that_died_is_looked_for(self, containers):
        since = len(self.control_plane.audit())
        containers.kill("inflight-gateway", all_but=2)
        self.until_audited(is_look_for_a_pod, since)
        # The last one that is asked to end would wait until the slots of the first one are free.
        containers.kill("inflight-gateway")

    def until_audited(self, condition, since=0):
        deadline = time.monotonic() + PATIENCE_S
        while not any(map(condition, self.control_plane.audit()[since:])):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def resources_show_what_was_done(self):
        shown = f"/apis/inflight.dev/v1alpha1/namespaces/{self.namespace}/scalingpolicies"
        foreign = {"type": "ScalingActive", "status": "False", "reason": "ForeignWriter"}

        def said(policies):
            conditions = policies["deployment"].get("status", {}).get("conditions", ())
            return any(foreign.items() <= each.items() for each in conditions)

        self.control_plane.wait(shown, said, deadline_s=PATIENCE_S)
        noted = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        self.control_plane.wait(
            noted, lambda events: any(each["reason"] == "ForeignWriter" for each in events.values())
        )

    def a_budget_shows_how_it_is_used(self):
        name = f"budget-of-{self.namespace}"
        self.control_plane.create(BUDGETS, budget_document(name, gpus=100, namespaces=[self.namespace]))
        try:
            self.control_plane.wait(BUDGETS, lambda found: found[name].get("status"), deadline_s=PATIENCE_S)
        finally:
            self.control_plane.delete(f"{BUDGETS}/{name}")

    def replicas_become(self, kind, condition):
        self.control_plane.wait(
            self.path(kind), lambda found: condition(found[kind.lower()]["spec"]["replicas"]), deadline_s=PATIENCE_S
        )

    def path(self, kind):
        return f"/apis/apps/v1/namespaces/{self.namespace}/{PLURALS[kind]}"


class Policies:
    """Policies by name, wherever they are kept."""

    def __init__(self, namespace):
        self.namespace, self.documents = namespace, {}

    def set(self, specs):
        for name, spec in specs.items():
            self.documents[name] = policy_document(f"{self.namespace}/{name}", **spec)
        self.keep()

    def set_override(self, name, replicas):
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {"inflight.dev/replicas": str(replicas), "inflight.dev/replicas-until": until}
        self.documents[name]["metadata"]["annotations"] = annotations
        self.keep()


class Resources(Policies):
    """As custom resources."""

    def __init__(self, control_plane, namespace):
        super().__init__(namespace)
        self.control_plane = control_plane

    def keep(self):
        kubectl(
            self.control_plane, "apply", "--server-side", "-f", "-", body=yaml.safe_dump_all(self.documents.values())
        )


class File(Policies):
    """In a file, which is replaced as a mounted ConfigMap is: by another one of the same name."""

    def __init__(self, file, namespace):
        super().__init__(namespace)
        self.file = file

    def keep(self):
        other = self.file.with_suffix(".new")
        other.write_text(yaml.safe_dump_all(self.documents.values()))
        other.replace(self.file)


# What is used, by the API server's audit log, against what is granted.


def used(control_plane, namespace, account):
    """Give what an account has done; to be refused anything is a failure, but in a namespace that another test ends."""
    name = f"system:serviceaccount:{namespace}:{account}"
    events = [event for event in control_plane.audit() if event["user"]["username"] == name]
    answers = [(event, event.get("responseStatus", {})) for event in events]
    refused = [
        (event["verb"], event["requestURI"])
        for event, answer in answers
        if answer.get("code") == 403 and "being terminated" not in answer.get("message", "")
    ]
    assert not refused
    return {
        (what.get("apiGroup", ""), "/".join(filter(None, (what["resource"], what.get("subresource")))), event["verb"])
        for event in events
        if (what := event.get("objectRef"))
    }


def granted(control_plane, folder, account):
    """Give what the roles bound to an account grant."""
    found = objects(control_plane, folder)
    roles = {
        each["roleRef"]["name"]
        for each in found
        if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}
        and any(subject["name"] == account for subject in each["subjects"])
    }
    assert roles
    return {
        (group, resource, verb)
        for each in found
        if each["kind"] in {"ClusterRole", "Role"} and each["metadata"]["name"] in roles
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def is_read_of_scale(event, kind):
    what = event.get("objectRef", {})
    wanted = {"resource": PLURALS[kind], "subresource": "scale"}
    return event["verb"] == "get" and event.get("userAgent") == "inflight" and wanted.items() <= what.items()


def is_look_for_a_rival(event):
    return (
        event.get("userAgent") == "inflight"
        and event.get("objectRef", {}).get("resource") == "horizontalpodautoscalers"
    )


def is_look_for_a_pod(event):
    wanted = {"resource": "pods", "subresource": None}.items()
    what = {"subresource": None, **event.get("objectRef", {})}
    return event["verb"] == "get" and event.get("userAgent") == "inflight" and wanted <= what.items()
