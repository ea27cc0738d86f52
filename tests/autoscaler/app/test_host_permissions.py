"""What namespaces may claim, as a cluster or the operator's file says it."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from autoscaler.app.host_permissions import WatchedHostPermissions
from autoscaler.documents.document import DocumentError
from autoscaler.host_claims import HostGrants, NamespaceHostPermissions
from autoscaler.kubernetes.client import ApiError
from autoscaler.runtime.files import CHECK_EVERY_S

GRANT = "claims:\n- {namespace: a, hosts: [x]}\n"


def namespace(name, version, given=None):
    annotations = {"inflight.dev/host-claims-from": given} if given else {}
    return {"metadata": {"name": name, "resourceVersion": str(version), "annotations": annotations}}


class Api:
    """Has namespaces, and refuses or fails to list them for as long as it is told."""

    def __init__(self, *items):
        self.items, self.error, self.paths = list(items), None, []

    async def get(self, path, _query=None, **_options):
        self.paths.append(path)
        if self.error:
            raise self.error
        return {"metadata": {"resourceVersion": "9"}, "items": self.items}

    async def lines(self, _path, _query, *, silence_s, **_options):
        await asyncio.sleep(silence_s * 1000)
        yield b""


async def until(condition):
    """Let virtual time run until a file has been read, by a thread that has the time of the machine."""
    while not condition():  # noqa: ASYNC110 - a thread tells nobody
        await asyncio.sleep(CHECK_EVERY_S)


@asynccontextmanager
async def leave(api, *, namespace="", file=None):
    told = []
    made = WatchedHostPermissions(api, random.Random(1), namespace=namespace, file=file, on_change=told.append)  # noqa: S311
    task = asyncio.create_task(made.run())
    try:
        yield made, told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_annotations_of_all_namespaces_are_leave():
    async with leave(Api(namespace("shop", 1, "pay"), namespace("other", 2))) as (made, told):
        assert made.unready() == "the namespaces have not been listed yet"
        await made.known()
        assert made.unready() == ""
        assert told == [NamespaceHostPermissions(), NamespaceHostPermissions({"shop": frozenset({"pay"})})]


@pytest.mark.parametrize("status", [403, 404])
async def test_where_namespaces_may_not_be_listed_nobody_has_leave_until_they_may(status):
    api = Api(namespace("shop", 1, "pay"))
    api.error = ApiError(status, "", "no")
    async with leave(api) as (made, told):
        await made.known()
        assert (made.unready(), told) == ("", [NamespaceHostPermissions()])
        api.error = None
        await asyncio.sleep(60)
        assert told[-1] == NamespaceHostPermissions({"shop": frozenset({"pay"})})


@pytest.mark.parametrize("status", [0, 429, 500, 503])
async def test_a_server_that_is_not_well_is_waited_for(status):
    api = Api(namespace("shop", 1, "pay"))
    api.error = ApiError(status, "", "not now")
    async with leave(api) as (made, told):
        knowing = asyncio.create_task(made.known())
        await asyncio.sleep(60)
        assert not knowing.done()
        assert made.unready() == "/api/v1/namespaces: not now"
        api.error = None
        await knowing
        assert told[-1] == NamespaceHostPermissions({"shop": frozenset({"pay"})})


async def test_where_policies_are_of_one_namespace_none_is_asked_for():
    api = Api()
    async with leave(api, namespace="shop") as (made, told):
        await made.known()
        assert (made.unready(), told, api.paths) == ("", [NamespaceHostPermissions()], [])


async def test_an_operators_file_stands_in_the_place_of_annotations_and_is_read_again(tmp_path, caplog):
    file, api = tmp_path / "claims.yaml", Api(namespace("shop", 1, "pay"))
    file.write_text(GRANT)
    async with leave(api, file=file) as (made, told):
        await made.known()
        assert (made.unready(), told) == ("", [HostGrants({"a": ("x",)})])
        file.write_text("claims: [")
        await until(lambda: "the last valid ones stay in force" in caplog.text)
        file.write_text(GRANT.replace("x", "y"))
        await until(lambda: len(told) > 1)
    assert told[1:] == [HostGrants({"a": ("y",)})]
    assert api.paths == []


async def test_a_file_that_cannot_be_used_is_told_at_the_start(tmp_path):
    with pytest.raises(DocumentError, match=r"gone\.yaml: cannot be read"):
        WatchedHostPermissions(Api(), random.Random(1), namespace="", file=tmp_path / "gone.yaml", on_change=print)  # noqa: S311
