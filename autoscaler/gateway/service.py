"""One service at run time: its dispatcher, its pods, and the requests that wait for a grant."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import cast

from autoscaler.gateway.affinity import AffinityCookie
from autoscaler.gateway.announced import ServiceHints
from autoscaler.gateway.arrival import Arrival
from autoscaler.gateway.config import GatewayService, Takeover
from autoscaler.gateway.counts import Counts, RequestOutcome
from autoscaler.gateway.dispatch.dispatcher import Dispatcher, Grant, Granted, Held, Refused, SlotUse
from autoscaler.gateway.dispatch.path_rules import PathRule, PathRules
from autoscaler.gateway.dispatch.turn_rules import Asking, TurnRules
from autoscaler.gateway.dispatch.types import ANY_TURN, Refusal
from autoscaler.gateway.http.memory_budget import MemoryBudget
from autoscaler.gateway.http.pod_pool import Pod
from autoscaler.gateway.http.resolver import Resolver
from autoscaler.gateway.http.tunnel import Tunnel
from autoscaler.gateway.overload import Overload
from autoscaler.gateway.peers.outbox import Delivery
from autoscaler.gateway.peers.shared_dispatcher import SharedDispatcher
from autoscaler.gateway.pods.service_pods import ServiceDispatcher, ServicePods
from autoscaler.gateway.probe_requests import ProbeUserAgents
from autoscaler.gateway.quotes.service_quotes import ServiceQuotes
from autoscaler.gateway.request_log import OnEnded
from autoscaler.gateway.waiting.estimate import Estimate, known, retry_after_s
from autoscaler.gateway.waiting.place_tokens import PlaceTokens
from autoscaler.gateway.waiting.places import Places

_LONGEST_RETRY_AFTER_S = 120


class Waiter:
    """One request as the dispatcher knows it: by identity."""

    __slots__ = ("arrived_s", "client", "in_dispatcher", "kind", "placement", "started_s", "turn")

    def __init__(self, kind: SlotUse, arrived_s: float) -> None:
        self.kind = kind
        self.arrived_s = arrived_s
        self.started_s = arrived_s
        """When a pod was sent it."""
        self.turn = ANY_TURN
        self.client = ""
        """Stands for its client, if the service takes hints."""
        self.in_dispatcher = False
        """Whether the dispatcher has it."""
        self.placement: asyncio.Future[Pod | RequestOutcome] | None = None
        """Set while it is held: the pod that it is granted, or why it is rejected."""

    @property
    def is_held(self) -> bool:
        """Whether it waits for a grant now."""
        return self.placement is not None and not self.placement.done()


class ServiceProxy:
    """Passes requests to the dispatcher, and its grants to the requests that wait."""

    def __init__(
        self,
        config: GatewayService,
        loop: asyncio.AbstractEventLoop,
        *,
        keys: Sequence[bytes],
        rng: random.Random,
        changed: Callable[[], None],
        body_budget: MemoryBudget,
        overload: Overload,
        resolver: Resolver,
        on_ended: OnEnded | None = None,
        shared: SharedDispatcher | None = None,
    ) -> None:
        self._loop = loop
        self.body_budget = body_budget
        """For the bodies of held requests of all services."""
        self._overload = overload
        self.on_ended = on_ended
        """Is given each request of the service when it ends."""
        self._changed = changed
        self._keys = keys
        self._rng = rng
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._holding: set[Waiter] = set()
        self.tunnels: set[Tunnel] = set()
        self.background_tasks: set[asyncio.Task[None]] = set()
        """Calls that are still to be made for requests whose client has disconnected."""
        self.places = Places(self, loop)
        self.hints: ServiceHints | None = None
        """What is announced; None if the policy takes no hints."""
        self.counts = Counts()
        self.ready_since_s: float | None = None
        """Since when there has been a ready pod all the time; None while there is none."""
        self.shared = shared
        """The dispatcher, if other gateways serve the service too."""
        self.dispatcher: ServiceDispatcher = Dispatcher(config.limits, loop.time()) if shared is None else shared
        self.quotes = ServiceQuotes(loop, self.dispatcher, config.cold_starts_s)
        self.pods = ServicePods(
            config,
            loop,
            self.dispatcher,
            quotes=self.quotes,
            resolver=resolver,
            counts=self.counts,
            deliver=self._settle,
            on_listed=self._pods_listed,
        )
        self._take_config(config)

    def apply(self, config: GatewayService) -> None:
        """Use another configuration; requests that wait keep their place and deadline.

        Pods that only the previous configuration lists drain; pods that the cluster lists stay.
        """
        self._take_config(config)
        if self.shared is not None:
            self.shared.let_go(self._loop.time())
        self._deliver(self.dispatcher.set_limits(config.limits, self._loop.time()))
        self.pods.apply(config)

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Use other cookie keys."""
        self._keys = keys
        self._take_config(self.config)

    def _take_config(self, config: GatewayService) -> None:
        self.config = config
        self.rules = PathRules(config.paths)
        self.probes = ProbeUserAgents(config.probes)
        self.tokens = PlaceTokens(self._keys, config.name)
        if self.shared is not None:
            self.shared.takes_over_at_once = config.takeover is Takeover.IMMEDIATE
            self.shared.longest.request_timeout_s = config.longest_request_s
        self.quotes.set_cold_starts(config.cold_starts_s)
        self.turns = _turn_rules(config, self._keys)
        self._take_hints(config)
        self.cookie = AffinityCookie(self._keys, config.name, config.affinity) if config.affinity else None
        self._pods_listed()

    def _take_hints(self, config: GatewayService) -> None:
        if config.hints is None:
            if self.hints is not None:
                self.hints.close()
            self.hints = None
        elif self.hints is None:
            self.hints = ServiceHints(config, self._keys, self._loop, self._changed)
        else:
            self.hints.apply(config, self._keys)

    # Requests.

    def arrive(
        self, waiter: Waiter, rule: PathRule, pinned: str | None, *, again: bool = False
    ) -> Pod | RequestOutcome | None:
        """Return the pod that the request is granted, why it is rejected, or None if it is held.

        A client that comes `again` has waited before: its request stands by its age, and is not counted once more.
        """
        if self._overload.active:
            self.counts.arrived += rule.kind is SlotUse.COUNT
            return RequestOutcome.OVERLOADED
        answer = self.dispatcher.arrive(
            waiter,
            self._loop.time() if again else waiter.arrived_s,
            waiter.kind,
            pinned,
            max_per_pod=rule.max_per_pod,
            wakes=rule.wake,
            turn=waiter.turn,
            arrived_s=waiter.arrived_s if again else None,
        )
        self.counts.arrived += rule.kind is SlotUse.COUNT and not again
        if self.hints is not None and not again:
            self.hints.came(waiter.client, rule)
        self._changed()
        match answer:
            case Granted(backend):
                waiter.in_dispatcher = True
                return self.pods.listed[backend]
            case Held():
                waiter.in_dispatcher = True
                self._hold(waiter)
                self.quotes.held(waiter)
                return None
            case Refused(reason):
                return self._refused(reason)

    def _refused(self, reason: Refusal) -> RequestOutcome:
        """Return how a refused request ends; a queue that is full by the limits of a busy service has its own end."""
        if reason is Refusal.QUEUE_FULL and self.config.limits.all_busy is not None and self.dispatcher.ready:
            return RequestOutcome.ALL_BUSY
        return RequestOutcome(reason.value)

    def may_start(self, waiter: Waiter, pod: Pod) -> bool:
        """Tell whether a granted request may be sent to the pod now; if not, it is held again."""
        if self.shared is not None:
            waiter.started_s = self._loop.time()
            if not self.shared.may_start(waiter, pod.name, waiter.started_s):
                self._hold(waiter)
                return False
        if waiter.placement is not None:
            self.quotes.started(waiter)
        return True

    @property
    def needs_client(self) -> bool:
        """Whether the address of a request's client matters."""
        return self.hints is not None or (self.turns is not None and self.turns.needs_client)

    def identify(self, waiter: Waiter, arrival: Arrival) -> None:
        """Find the turn of a counted request, and what stands for its client, as far as the policy needs them."""
        if self.turns is None and self.hints is None:
            return
        head, trusted = arrival.head, arrival.forwarded.trusted
        asking = Asking(head.host, head.target.decode("latin-1"), head.values, arrival.client, trusted=trusted)
        if self.turns is not None and waiter.kind is SlotUse.COUNT:
            waiter.turn = self.turns.turn(asking)
        if self.hints is not None:
            waiter.client = self.hints.client(asking)

    @property
    def queued_by_class(self) -> dict[str, int]:
        """Counted requests that wait, by the name of their priority class."""
        levels = Counter(waiter.turn.level for waiter in self._holding if waiter.kind is SlotUse.COUNT)
        return {each.name: levels[level] for level, each in enumerate(self.config.classes)}

    def put_back(self, waiter: Waiter) -> None:
        """Hold a request again that its pod refused, at its place of arrival."""
        self.counts.retries += 1
        self._hold(waiter)
        self._deliver(self.dispatcher.put_back(waiter, self._loop.time()))
        self._arm()

    def finish(self, waiter: Waiter) -> None:
        """End a request that was granted, and grant its slot to the next."""
        if waiter.in_dispatcher:
            waiter.in_dispatcher = False
            now_s = self._loop.time()
            if self.shared is not None and waiter.kind is SlotUse.COUNT:
                self.shared.longest.observe(now_s - waiter.started_s, now_s)
            self._deliver(self.dispatcher.finish(waiter, now_s))

    def open_tunnel(self, waiter: Waiter) -> None:
        """Turn a Pass request into a tunnel, which does not keep its pod; `finish` or `abandon` ends it."""
        self.dispatcher.open_tunnel(waiter, self._loop.time())
        self._changed()

    def abandon(self, waiter: Waiter) -> None:
        """End a request in any state, if it has not ended yet."""
        if waiter.in_dispatcher:
            waiter.in_dispatcher = False
            self._holding.discard(waiter)
            self.quotes.gave_up(waiter)
            self._deliver(self.dispatcher.abandon(waiter, self._loop.time()))

    def reject_all(self) -> None:
        """Reject all requests that are held."""
        for waiter in list(self._holding):
            self._end_held(waiter, RequestOutcome.DRAINED)
            self._deliver(self.dispatcher.abandon(waiter, self._loop.time()))

    def estimate(self, request: Hashable | None) -> Estimate | None:
        """Return what is expected of a request that waits, or for None of one that comes now; None if unknown."""
        return known(self.quotes.quote(cast("Waiter | None", request)))

    def retry_after_s(self) -> int:
        """Return in how many seconds a request should be served, with up to a quarter added.

        It is the estimate if clients get estimates and there is one, else it comes from the mean service time.
        """
        estimate = self.estimate(None) if self.config.waiting.headers else None
        if estimate is not None:
            return retry_after_s(estimate, self._rng.uniform(1.0, 1.25))
        served = self.counts.service_s
        mean_s = served.total / max(1, sum(served.counts))
        slots = max(1, len(self.dispatcher.backends)) * max(1, self.dispatcher.limits.concurrency)
        wait_s = mean_s * (1 + self.dispatcher.queued) / slots
        return max(1, min(_LONGEST_RETRY_AFTER_S, math.ceil(wait_s * self._rng.uniform(1.0, 1.25))))

    def background(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Keep a call that goes on without its client, until it is done."""
        self.background_tasks.add(task)
        task.add_done_callback(self.background_tasks.discard)
        return task

    def close(self) -> None:
        """Close idle connections, and end all checks and calls."""
        if self._timer is not None:
            self._timer.cancel()
        self.places.close()
        if self.hints is not None:
            self.hints.close()
        self.pods.close()
        self.quotes.close()
        for task in self.background_tasks:
            task.cancel()

    def _pods_listed(self) -> None:
        if self.cookie is not None:
            self.cookie.set_pods(self.pods.listed)

    # Waiting.

    def _hold(self, waiter: Waiter) -> None:
        waiter.placement = self._loop.create_future()
        self._holding.add(waiter)
        self._arm()

    def _deliver(self, grants: list[Grant]) -> None:
        self._changed()
        for request, backend in grants:
            waiter = cast("Waiter", request)
            self._holding.discard(waiter)
            # A client that disconnects in this moment has cancelled its wait; its handler returns the slot.
            if waiter.placement is not None and not waiter.placement.done():
                waiter.placement.set_result(self.pods.granted(backend))

    def take(self, delivery: Delivery) -> None:
        """Take what became of requests for which the owner of the service was asked."""
        for request, refusal in delivery.refused:
            self._end_held(cast("Waiter", request), self._refused(refusal))
        self._settle(delivery.grants)

    def end_all(self, delivery: Delivery, outcome: RequestOutcome) -> None:
        """End all requests that a delivery concerns."""
        for request, _ in delivery.refused:
            self._end_held(cast("Waiter", request), outcome)
        for request, _ in delivery.grants:
            waiter = cast("Waiter", request)
            if waiter.in_dispatcher:
                self._end_held(waiter, outcome)
                self._deliver(self.dispatcher.abandon(waiter, self._loop.time()))

    def follow_owner(self) -> None:
        """Note that the service may have another owner."""
        self.pods.follow_owner()
        self.changed_elsewhere()

    def changed_elsewhere(self) -> None:
        """Note that another gateway has changed counts or deadlines."""
        self._changed()
        self._arm()

    def _settle(self, grants: list[Grant]) -> None:
        """Deliver what an event of a pod granted; it may have set a deadline too."""
        if not self.dispatcher.ready:
            self.ready_since_s = None
        elif self.ready_since_s is None:
            self.ready_since_s = self._loop.time()
        self._deliver(grants)
        self._arm()

    def _end_held(self, waiter: Waiter, outcome: RequestOutcome) -> None:
        waiter.in_dispatcher = False
        self._holding.discard(waiter)
        self.quotes.gave_up(waiter)
        if waiter.placement is not None and not waiter.placement.done():
            waiter.placement.set_result(outcome)

    def _arm(self) -> None:
        deadline_s = self.dispatcher.next_deadline_s
        if deadline_s is None or (self._timer is not None and self._timer_s <= deadline_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        # Kept here because a handle of uvloop loses its time once that has passed.
        self._timer_s = deadline_s
        self._timer = self._loop.call_at(deadline_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        due = self.dispatcher.expire(self._loop.time())
        for request in due.timed_out:
            self._end_held(cast("Waiter", request), RequestOutcome.QUEUE_TIMEOUT)
        self._deliver(due.grants)
        self._arm()


def _turn_rules(config: GatewayService, keys: Sequence[bytes]) -> TurnRules | None:
    """Return what finds the turns of requests; None if the one that arrived first goes first."""
    if not config.classes and config.fairness is None:
        return None
    return TurnRules(config.name, config.classes, config.fairness, keys[0])
