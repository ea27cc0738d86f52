"""Election of one leader by a Lease, by client-go's rules.

1. Nobody's clock is compared with another's: a lease is free when its record has not changed for as long as it says,
   by our own clock that never steps, since we saw it change.
2. Who leads renews; who could not for `renew_s` leads no more, well before `lease_s` lets another one take over.
3. Every request has a deadline that is shorter than the difference of the two, so that none arrives too late.
4. Who goes gives the lease back, and the next one need not wait.
5. A Lease without a spec, as one that was made ahead, or without a holder is free. One with a holder that does not say
   for how long, or says it in no number, lasts as long as our own. No Lease and no answer ends the election.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

from autoscaler.kubernetes.client import Api, ApiError
from autoscaler.kubernetes.objects import Resource, timestamp

_LEASES = Resource("coordination.k8s.io/v1", "leases")
_MOST = 2**31 - 1
"""The largest number of the Lease's schema."""
_log = logging.getLogger(__name__)


class Times(NamedTuple):
    """How long things take, in seconds; the same for all who stand for election."""

    lease_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0

    @property
    def deadline_s(self) -> float:
        """How long a request of a leader may take."""
        return (self.lease_s - self.renew_s) * 0.9


class Election:
    """One candidate; `run` it.

    Args:
        api: whom to ask.
        namespace: where the Lease is.
        name: its name.
        identity: who we are: a name that no other candidate has.
        now: gives a time that never steps; it is what the Lease shows, and nothing is compared with another's.
        rng: spreads attempts.
        on_change: is told when we begin to lead, and when we end.
        times: how long things take.
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
        """Somebody else may have written since our own last write."""

    def leads(self) -> bool:
        """Tell whether we may write now."""
        return self._now() < self._leads_until_s

    @property
    def leader(self) -> str:
        """Who holds the lease, as last seen; empty if nobody does."""
        return str(self._spec_seen.get("holderIdentity") or "")

    @property
    def _spec_seen(self) -> Mapping[str, Any]:
        """The spec as last seen; what is no mapping is as if it were not there."""
        spec = self._lease.get("spec")
        return spec if isinstance(spec, Mapping) else {}

    async def run(self) -> None:
        """Stand for election, lead and stand again, until cancelled."""
        while True:
            await self._attempt()
            self._tell()
            await asyncio.sleep(self._times.retry_s * (1 if self._led else self._rng.uniform(1, 2)))
            self._tell()

    async def release(self) -> None:
        """Give the lease back, if it is ours; nothing may be written afterwards."""
        led, self._leads_until_s = self.leads(), float("-inf")
        if not led:
            return
        try:
            await self._give_back()
        except ApiError as error:
            _log.warning("the lease could not be given back and runs out by itself: %s", error)
        self._tell()

    async def _give_back(self) -> None:
        # A renewal that was broken off may have reached the server.
        self._lease = await self._read() or self._lease
        if self.leader == self.identity:
            spec = {**self._spec_seen, "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._write({**self._lease, "spec": spec})

    def _tell(self) -> None:
        if self._led != self.leads():
            self._led = not self._led
            _log.info("%s %s", self.identity, "leads" if self._led else "leads no more")
            self._on_change(self._led)

    async def _attempt(self) -> None:
        started_s = self._now()
        try:
            async with asyncio.timeout(self._times.deadline_s):
                taken = await self._take_or_renew()
        except TimeoutError:
            _log.warning("lease %s: no answer in time", self._name)
        except ApiError as error:
            self._outdated = True
            if not error.is_conflict:
                _log.warning("lease %s: %s", self._name, error)
        except Exception as error:  # noqa: BLE001 - no Lease may end the election
            # What is not understood renews nothing: we lead no more when our time is over, and try again.
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
        lasts_s = self._spec_seen.get("leaseDurationSeconds")
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
        spec = self._spec_seen
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
    """Tell whether a value is a number that can be waited for or counted on from."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


def _as_object(answer: Any) -> Mapping[str, Any]:
    """Give an answer that is an object; raises ApiError for anything else."""
    if not isinstance(answer, Mapping):
        raise ApiError(0, "NotKubernetes", f"this is no Lease: {str(answer)[:60]!r}")
    return answer
