"""A real API server takes what `autoscaler convert` writes, with strict validation of its fields."""

import pytest
from cluster_kit import define_policies
from convert_kit import READABLE, conversion_of
from kubectl import kubectl

from autoscaler.documents.document import to_yaml

pytestmark = [pytest.mark.program, pytest.mark.real_time]


def written(namespace, **options):
    """Give all objects of all files, once, in one namespace."""
    objects = {}
    for path in READABLE:
        for service in conversion_of(path.read_text(), **options).services:
            for each in service.objects:
                metadata = each["metadata"] | {"namespace": namespace}
                objects[each["kind"], metadata["name"]] = {**each, "metadata": metadata}
    return objects


@pytest.mark.parametrize(
    "options",
    [{"route": "ingress", "nodes": "ours"}, {"route": "gateway-api", "algorithm": "concurrency"}],
    ids=["same", "concurrency"],
)
def test_the_api_server_takes_all_that_is_written(other_kinds, namespace, options):
    define_policies(other_kinds)
    objects = written(namespace, **options)
    stream = "---\n".join(map(to_yaml, objects.values()))
    told = kubectl(other_kinds, "apply", "--dry-run=server", "--validate=strict", "-f", "-", body=stream)
    assert len(told.splitlines()) == len(objects)
    assert {"Deployment", "Service", "ScalingPolicy"} <= {kind for kind, _ in objects}
