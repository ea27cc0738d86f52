"""Election of one leader with a Lease, by client-go's rules.

1. Clocks of different candidates are never compared. A lease is free when its record has not changed for its own
   duration, measured by our monotonic clock since we saw the last change.
2. The leader renews the lease. If it could not for `renew_s`, it stops leading, well before `lease_s` lets another
   candidate take over.
3. Every request has a deadline shorter than the difference of the two, so that none arrives too late.
4. A leader that shuts down releases the lease, so that the next one need not wait.
5. A Lease without a spec (created in advance) or without a holder is free. If a held Lease has no duration, or one that
   is not a number, it lasts as long as our own. No content of a Lease and no response ends the election.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource
from autoscaler.kubernetes.timestamps import timestamp

_LEASES = Resource("coordination.k8s.io/v1", "leases")
_MOST = 2**31 - 1
"""The largest number of the Lease's schema."""
_log = logging.getLogger(__name__)


class Times(NamedTuple):
    """Durations in seconds; the same for all candidates."""

    lease_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0

    @property
    def deadline_s(self) -> float:
        """The timeout of a leader's request."""
        return (self.lease_s - self.renew_s) * 0.9


class Election:
    """One candidate; `run` it.

    Args:
        api: the API server.
        namespace: the namespace of the Lease.
        name: the name of the Lease.
        identity: our name, which no other candidate has.
        now: a monotonic clock; the Lease shows its time, which is not compared with any other clock.
        rng: spreads attempts.
        on_change: called with True when we start to lead, and with False when we stop.
        times: the durations.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        now: Callable[[], float],
        rng: random.Random,
        on_change: Callable[[bool], None] = lambda _leads: None,
        times: Times | None = None,
    ) -> None:
        self._api = api
        self._collection = _LEASES.collection(namespace)
        self._name = name
        self.identity = identity
        self._now = now
        self._rng = rng
        self._on_change = on_change
        self._times = times or Times()
        self._lease: Mapping[str, Any] = {}
        self._observed_s = float("-inf")
        self._leads_until_s = float("-inf")
        self._led = False
        self._outdated = True
        """Another client may have written since our own last write."""

    def leads(self) -> bool:
        """Tell whether we may write now."""
        return self._now() < self._leads_until_s

    @property
    def leader(self) -> str:
        """The last known holder of the lease; empty if there is none."""
        return str(self._last_spec.get("holderIdentity") or "")

    @property
    def _last_spec(self) -> Mapping[str, Any]:
        """The last known spec; anything but a mapping counts as absent."""
        spec = self._lease.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    async def run(self) -> None:
        """Try to lead, and renew while leading, until cancelled."""
        while True:
            await self._attempt()
            self._report_change()
            await asyncio.sleep(self._times.retry_s * (1 if self._led else self._rng.uniform(1, 2)))
            self._report_change()

    async def release(self) -> None:
        """Release the lease, if it is ours; nothing may be written afterwards."""
        led, self._leads_until_s = self.leads(), float("-inf")
        if not led:
            return
        try:
            await self._clear_holder()
        except ApiError as error:
            _log.warning("the lease could not be released and will expire: %s", error)
        self._report_change()

    async def _clear_holder(self) -> None:
        # A cancelled renewal may have reached the server.
        self._lease = await self._read() or self._lease
        if self.leader == self.identity:
            spec = {**self._last_spec, "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._write({**self._lease, "spec": spec})

    def _report_change(self) -> None:
        if self._led != self.leads():
            self._led = not self._led
            _log.info("%s %s", self.identity, "leads" if self._led else "no longer leads")
            self._on_change(self._led)

    async def _attempt(self) -> None:
        started_s = self._now()
        try:
            async with asyncio.timeout(self._times.deadline_s):
                taken = await self._take_or_renew()
        except TimeoutError:
            _log.warning("lease %s: no response in time", self._name)
        except ApiError as error:
            self._outdated = True
            if not error.is_conflict:
                _log.warning("lease %s: %s", self._name, error)
        except Exception as error:  # noqa: BLE001 - no content of a Lease may end the election
            # Nothing is renewed: we stop leading when our time is over, and try again.
            self._outdated = True
            _log.exception("lease %s: %s", self._name, error)
        else:
            self._leads_until_s = started_s + self._times.renew_s if taken else float("-inf")

    async def _take_or_renew(self) -> bool:
        if self._outdated or not self.leads():
            found = await self._read()
            if found is None:
                self._observe(_as_object(await self._api.create(self._collection, self._new())))
                return True
            self._observe(found)
            if not self._is_free():
                return False
        self._observe(await self._write(self._renewed()))
        self._outdated = False
        return True

    def _observe(self, lease: Mapping[str, Any]) -> None:
        if lease.get("spec") != self._lease.get("spec"):
            self._observed_s = self._now()
        self._lease = lease

    def _is_free(self) -> bool:
        lasts_s = self._last_spec.get("leaseDurationSeconds")
        if not _is_number(lasts_s):
            lasts_s = self._times.lease_s
        return self.leader in {"", self.identity} or self._now() >= self._observed_s + lasts_s

    async def _read(self) -> Mapping[str, Any] | None:
        try:
            lease = await self._api.get(f"{self._collection}/{self._name}")
        except ApiError as error:
            if error.is_not_found:
                return None
            raise
        return _as_object(lease)

    async def _write(self, lease: Mapping[str, Any]) -> Mapping[str, Any]:
        return _as_object(await self._api.replace(f"{self._collection}/{self._name}", lease))

    def _new(self) -> dict[str, Any]:
        return {"metadata": {"name": self._name}, "spec": self._spec(transitions=0)}

    def _renewed(self) -> dict[str, Any]:
        spec = self._last_spec
        if self.leader == self.identity:
            renewed = {**spec, "renewTime": timestamp(self._now(), micro=True)}
            return {**self._lease, "spec": renewed}
        transitions = spec.get("leaseTransitions")
        return {**self._lease, "spec": self._spec(transitions=int(transitions) + 1 if _is_number(transitions) else 0)}

    def _spec(self, *, transitions: int) -> dict[str, Any]:
        now = timestamp(self._now(), micro=True)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self._times.lease_s),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a usable duration or counter."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


def _as_object(response: Any) -> Mapping[str, Any]:
    """Give a response that is an object; raises ApiError for anything else."""
    if not isinstance(response, Mapping):
        raise ApiError(0, "NotKubernetes", f"the response is not a Lease: {str(response)[:60]!r}")
    return response
