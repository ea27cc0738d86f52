"""The faults of a soak: each hurts one installation for a while, and heals it."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress

from cluster_kit import condition
from control_plane import RefusedError
from fault_processes import found
from fault_proxy import Answers, Drips, Garbled, Halves, Hangs, Refuses, Silent, samples

TOLD_WITHIN_S = 3
"""The API server tells the gateway of a label, on a machine that may be busy."""
JSON = {"Content-Type": "application/json"}
LIES = {
    "Prometheus refuses connections": Refuses(),
    "Prometheus answers HTML": Answers(200, b"<html>", **{"Content-Type": "text/html"}),
    "Prometheus answers 10 MB of nothing": Answers(200, b'{"status": "' + b"x" * 10**7, **JSON),
    "Prometheus answers NaN": samples("value", lambda _: "NaN"),
    "Prometheus answers what no decider can calculate with": samples("value", lambda _: "1e308"),
    "Prometheus answers what is old": samples("oldest", lambda at: str(float(at) - 60)),
    "Prometheus answers a byte a second": Drips(),
}
STREAMS = {"the stream is silent": Silent(), "the stream is garbled": Garbled()}
REFUSALS = {
    "the API server refuses with 409": Answers(409, b'{"reason": "Conflict", "message": "fault", "code": 409}', **JSON),
    "the API server refuses with 429": Answers(429, b'{"reason": "TooMany", "message": "fault", "code": 429}', **JSON),
    "the API server fails with 500": Answers(500, b"fault"),
    "the API server does not answer": Hangs(),
    "the API server does it and does not answer": Hangs(after=True),
    "the API server breaks off": Halves(),
}


class Faults:
    """All of them, over one installation; `any_of` chooses, and `hurt` lets it be for some seconds.

    Args:
        it: the installation.
        prometheus: what counts its requests.
        liar: the way to that.
        server: its API server.
        log_pipe: what the gateway's request log goes to.
        rng: chooses.
    """

    def __init__(self, it, *, prometheus, liar, server, log_pipe, rng):
        self._it, self._prometheus, self._liar, self._server, self._rng = it, prometheus, liar, server, rng
        self._log_pipe = log_pipe
        self._all = {
            **{name: lambda act=act: self._proxied(liar, act) for name, act in LIES.items()},
            **{name: lambda act=act: self._proxied(it.gateways[0].stream, act) for name, act in STREAMS.items()},
            **{name: lambda act=act: self._of_one_service(act) for name, act in REFUSALS.items()},
            "the watches break off": self._watches_dropped,
            "Prometheus is killed and forgets": self._prometheus_killed,
            "the gateway is killed": self._gateway_killed,
            "a controller is killed": lambda: self._controllers_killed(1),
            "both controllers are killed": lambda: self._controllers_killed(2),
            "a clock steps": self._clock_steps,
            "a pod is deleted": lambda: self._pod_goes(killed=False),
            "a pod is killed": lambda: self._pod_goes(killed=True),
            "a pod fails fast": self._pod_fails_fast,
            "a pod is relabelled": self._pod_relabelled,
            "a decider breaks": self._decider_breaks,
            "a host thief": self._host_thief,
            "the request log hangs": self._request_log_hangs,
            "the API server is killed": self._api_server_killed,
            "etcd stands still": self._etcd_paused,
        }

    def names(self, among=()):
        """Give the names of these faults, or of all, in an order that chance has made."""
        return self._rng.sample(sorted(among or self._all), len(among or self._all))

    async def hurt(self, name, seconds):
        """Let a fault last so long."""
        async with self._all[name]():
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def _proxied(self, proxy, act):
        proxy.does(act)
        try:
            yield
        finally:
            proxy.heal()
            proxy.drop()

    @asynccontextmanager
    async def _of_one_service(self, act):
        service = self._service()
        self._it.api.does(act, lambda request: f"/namespaces/{service.namespace}/" in request.path)
        self._it.api.drop()
        try:
            yield
        finally:
            self._it.api.heal()
            self._it.api.drop()

    @asynccontextmanager
    async def _watches_dropped(self):
        self._it.api.drop(lambda request: "watch" in request.query)
        yield

    @asynccontextmanager
    async def _prometheus_killed(self):
        self._prometheus.kill()
        yield
        self._prometheus.start()
        await self._prometheus.ready()

    @asynccontextmanager
    async def _gateway_killed(self):
        (gateway,) = self._it.gateways
        gateway.kill()
        gateway.start()
        await gateway.ready()
        yield

    @asynccontextmanager
    async def _controllers_killed(self, number):
        killed = self._rng.sample(self._it.controllers, number)
        for controller in killed:
            controller.kill()
        yield
        for controller in killed:
            controller.start()
        for controller in killed:
            await controller.ready()

    @asynccontextmanager
    async def _clock_steps(self):
        self._rng.choice(self._it.controllers).signal(self._rng.choice((signal.SIGUSR1, signal.SIGUSR2)))
        yield

    @asynccontextmanager
    async def _pod_goes(self, *, killed):
        service = self._service()
        pods = (await service.ask("get", service.pods))["items"]
        for pod in pods[:1]:
            if killed:
                await self._it.fleet.dies(pod["status"].get("podIP"))
            body = {"gracePeriodSeconds": 0} if killed else {}
            await service.ask("request", "DELETE", f"{service.pods}/{pod['metadata']['name']}", body)
        yield

    @asynccontextmanager
    async def _pod_fails_fast(self):
        service = self._service()
        addresses = [pod["status"].get("podIP") for pod in (await service.ask("get", service.pods))["items"]]
        failing = set(filter(None, addresses[:1]))
        self._it.fleet.failing |= failing
        yield
        self._it.fleet.failing -= failing

    @asynccontextmanager
    async def _pod_relabelled(self):
        """Somebody takes a pod aside to look at it: from then on nothing may be sent to it."""
        service = self._service()
        found = (await service.ask("get", service.pods))["items"]
        # Of one that is leaving already another pod may soon have the address.
        pods = [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("podIP")]
        if not pods:
            yield
            return
        path, address = f"{service.pods}/{pods[0]['metadata']['name']}", pods[0]["status"]["podIP"]
        await service.ask("patch", path, {"metadata": {"labels": {"app": "quarantine"}}})
        await asyncio.sleep(TOLD_WITHIN_S)
        before = service.ledger.runs_at(address)
        yield
        assert service.ledger.runs_at(address) == before, "a pod in quarantine was sent a request"
        with suppress(RefusedError):  # it may have been one that was leaving
            await service.ask("request", "DELETE", path, {"gracePeriodSeconds": 0})

    @asynccontextmanager
    async def _decider_breaks(self):
        self._it.broken_file.write_text(self._service().key)
        yield
        self._it.broken_file.unlink()

    @asynccontextmanager
    async def _host_thief(self):
        """A younger policy in another namespace claims a service's host; the books show whose requests it gets."""
        victim, thief = self._rng.sample(sorted(self._it.services.values(), key=lambda each: each.name), 2)
        # Made anew, the victim's policy would be the younger one, and the host not its own.
        async with victim.policy_stays:
            await thief.apply("thief", traffic={"hosts": [victim.host, f"*.{victim.host}"], "port": self._it.pod_port})
            yield
            conflict = ("False", "HostConflict")
            await thief.policy_is(lambda status: condition(status, "Ready") == conflict, "thief", deadline_s=60)
            await thief.ask("delete", f"{thief.policies}/thief")

    @asynccontextmanager
    async def _request_log_hangs(self):
        self._log_pipe.stand_still()
        try:
            yield
        finally:
            self._log_pipe.go_on()

    def _service(self):
        return self._rng.choice(sorted(self._it.services.values(), key=lambda each: each.name))

    @asynccontextmanager
    async def _api_server_killed(self):
        self._server.kill()
        yield
        await self._server.start()

    @asynccontextmanager
    async def _etcd_paused(self):
        number, _ = found(f"--data-dir={self._server.control_plane.folder / 'etcd'}")
        os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(number, signal.SIGCONT)
