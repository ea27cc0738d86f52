"""What comes of each thing that can happen: the next state, or a broken promise."""

import json

from peer_machine import Output
from peer_states import (
    AWAKE,
    DEAD,
    ENDED,
    GONE,
    GRANTED,
    NOT_YET,
    ORPHANED,
    PAUSED,
    RUNS,
    SERVED,
    WAITS,
    Broken,
    Member,
    Request,
    State,
)

HEARTBEATS = ('"t": "beat"', '"t": "ack"')


class Draft:
    """A state that is being changed."""

    def __init__(self, world, state: State) -> None:
        self.world = world
        self.n = world.n
        self.was = state
        self.time = state.time
        self.members = list(state.members)
        self.channels = list(state.channels)
        self.linked = set(state.linked)
        self.cut = set(state.cut)
        self.store = state.store
        self.store_away = state.store_away
        self.requests = list(state.requests)
        self.pods_gone = state.pods_gone
        self.budget = state.budget
        self.ticks = state.ticks

    def state(self) -> State:
        return State(
            self.time,
            tuple(self.members),
            tuple(self.channels),
            frozenset(self.linked),
            frozenset(self.cut),
            self.store,
            tuple(self.requests),
            self.pods_gone,
            self.budget,
            self.ticks,
            self.store_away,
        )

    # Steps of a gateway.

    def step(self, i: int, *call) -> Output:
        """Let a gateway take a step, and see to what it says."""
        member = self.members[i]
        try:
            number, output = self.world.machines.step(member.state, self.time - member.behind, call)
        except Exception as error:
            raise Broken(f"{self.world.names[i]} raised {error!r} at {call}") from error
        self.members[i] = member._replace(state=number)
        self.take(i, output)
        return output

    def take(self, i: int, output: Output) -> None:
        member = self.members[i]
        silent = output._replace(messages=(), granted=(), ended=(), store=(), result=None)
        self.members[i] = member._replace(out=silent, calls=member.calls + output.store)
        for name, message in output.messages:
            self.send(i, name, message)
        for request, pod in output.granted:
            self.granted(i, request, pod)
        for request in output.ended:
            self.end(int(request[1:]))
        self.check_counts(i, output)

    def send(self, i: int, name: str, message: str) -> None:
        """Put a message on the connection that a gateway knows of; if that has ended, the message is lost."""
        j = self.world.index[name]
        has_news = any(event[0] == "up" for event in self.channels[j * self.n + i])
        if self.pair(i, j) in self.linked and not has_news:
            self.channels[i * self.n + j] += (("message", message),)

    @staticmethod
    def pair(i: int, j: int) -> tuple[int, int]:
        return (min(i, j), max(i, j))

    def granted(self, i: int, name: str, pod: str) -> None:
        k = int(name[1:])
        request = self.requests[k]
        if self.world.takers[k] != i:
            raise Broken(f"{name} was granted to {self.world.names[i]}, who does not have it")
        if request.status != WAITS:
            raise Broken(f"{name} was granted {pod} while it {request.status}")
        self.requests[k] = request._replace(status=GRANTED, pod=pod)

    def end(self, k: int) -> None:
        if self.requests[k].status not in {WAITS, GRANTED}:
            raise Broken(f"r{k} was refused while it {self.requests[k].status}")
        self.requests[k] = self.requests[k]._replace(status=ENDED, pod="", since=0.0)

    def check_counts(self, i: int, output: Output) -> None:
        """A gateway counts the requests of its own clients, each once, at every moment."""
        there = sum(
            1
            for k, each in enumerate(self.requests)
            if self.world.takers[k] == i and each.status in {WAITS, GRANTED, RUNS, SERVED}
        )
        if output.present != there:
            raise Broken(f"{self.world.names[i]} counts {output.present} requests of its own clients and has {there}")

    # Requests.

    def do_arrive(self, name: str) -> None:
        k = int(name[1:])
        self.requests[k] = Request(WAITS)
        self.step(self.world.takers[k], "arrive", name)

    def do_start(self, name: str) -> None:
        k = int(name[1:])
        request = self.requests[k]
        self.requests[k] = Request(WAITS, starts=request.starts)
        if not self.step(self.world.takers[k], "may_start", name, request.pod).result:
            return
        self.requests[k] = Request(RUNS, request.pod, self.time, request.starts + 1)
        if request.starts:
            raise Broken(f"{name} was started twice")
        there = [each.status in {RUNS, ORPHANED} and each.pod == request.pod for each in self.requests]
        running = [f"r{k}" for k, runs in enumerate(there) if runs]
        if len(running) > 1:
            raise Broken(f"{request.pod} runs {' and '.join(running)}: more than its limit of 1")

    def do_end(self, name: str) -> None:
        k = int(name[1:])
        self.requests[k] = Request(ENDED)
        self.step(self.world.takers[k], "finish", name)

    def do_abort(self, name: str) -> None:
        k = int(name[1:])
        self.budget -= 1
        self.requests[k] = Request(ENDED)
        self.step(self.world.takers[k], "abandon", name)

    def do_refuse(self, name: str) -> None:
        k = int(name[1:])
        self.budget -= 1
        self.requests[k] = Request(WAITS)
        self.step(self.world.takers[k], "put_back", name)

    # Messages.

    def do_deliver(self, one: str, other: str) -> None:
        i, j = self.world.index[one], self.world.index[other]
        self.arrive(i, j)

    def arrive(self, i: int, j: int) -> None:
        (event, *rest), *later = self.channels[i * self.n + j]
        self.channels[i * self.n + j] = tuple(later)
        name = self.world.names[i]
        if event == "up":
            self.step(j, "connected", name, rest[0])
        elif event == "down":
            self.step(j, "disconnected", name, rest[0])
        else:
            self.step(j, "received", name, rest[0])

    def do_connect(self, one: str, other: str) -> None:
        i, j = self.world.index[one], self.world.index[other]
        self.linked.add(self.pair(i, j))
        for x, y in ((i, j), (j, i)):
            self.channels[x * self.n + y] += (("up", self.life(x)),)

    def life(self, i: int) -> str:
        return f"{self.world.names[i]}{self.members[i].life}"

    def do_break(self, one: str, other: str, keep_one: bool, keep_other: bool) -> None:  # noqa: FBT001
        self.budget -= 1
        i, j = self.world.index[one], self.world.index[other]
        self.disconnect(i, j, keep=keep_one)
        self.disconnect(j, i, keep=keep_other)
        self.linked.discard(self.pair(i, j))

    def do_break_refused(self, one: str, other: str) -> None:
        self.budget -= 1
        i, j = self.world.index[one], self.world.index[other]
        self.disconnect(i, j, keep=False, refused=True)
        self.disconnect(j, i, keep=False)
        self.linked.discard(self.pair(i, j))

    def disconnect(self, i: int, j: int, *, keep: bool, refused: bool = False) -> None:
        """Let j notice that its connection to i has ended."""
        channel = self.channels[i * self.n + j]
        # What is before the last connection stays: the end of an older one, and what it left behind.
        start = max((k for k, event in enumerate(channel) if event[0] == "up"), default=-1)
        kept = channel if keep else channel[: start + 1]
        self.channels[i * self.n + j] = (*kept, ("down", refused))

    # Time.

    def do_tick(self) -> None:
        self.pass_time()

    def do_slow_tick(self, name: str) -> None:
        self.budget -= 1
        i = self.world.index[name]
        self.members[i] = self.members[i]._replace(behind=self.members[i].behind + self.world.scope.lost)
        self.pass_time()

    def pass_time(self) -> None:
        self.time += self.world.scope.tick
        self.ticks -= 1
        self.end_served()
        for i, each in enumerate(self.members):
            if each.status == AWAKE:
                self.step(i, "tick")
        self.exchange_heartbeats()

    def end_served(self) -> None:
        """Pods end what they serve for a gateway that is paused or dead."""
        for k, request in enumerate(self.requests):
            if request.status in {RUNS, ORPHANED} and self.time - request.since >= self.world.scope.service_time:
                self.requests[k] = Request(SERVED if request.status == RUNS else ENDED, starts=request.starts)

    def exchange_heartbeats(self) -> None:
        moved = True
        while moved:
            moved = False
            for i, j in self.world.deliverable(self.state()):
                event = self.channels[i * self.n + j][0]
                if event[0] == "message" and any(mark in event[1] for mark in HEARTBEATS):
                    self.arrive(i, j)
                    moved = True

    # Gateways.

    def do_join(self, name: str) -> None:
        self.begin(self.world.index[name])

    def do_restart(self, name: str) -> None:
        self.budget -= 1
        self.begin(self.world.index[name])

    def begin(self, i: int) -> None:
        life = self.members[i].life + 1
        number, output = self.world.machines.new(self.world.names[i], f"{self.world.names[i]}{life}", self.time)
        self.members[i] = Member(number, life, AWAKE)
        self.take(i, output)

    def do_leave(self, name: str) -> None:
        i = self.world.index[name]
        self.members[i] = self.members[i]._replace(told_to_go=True)
        self.step(i, "leave")

    def do_go(self, name: str) -> None:
        self.stop(self.world.index[name], GONE)

    def do_crash(self, name: str) -> None:
        self.budget -= 1
        self.stop(self.world.index[name], DEAD)

    def stop(self, i: int, status: str) -> None:
        """Let a process end: what it sent still arrives, and then the end of its connections."""
        self.members[i] = Member(life=self.members[i].life, status=status, calls=self.members[i].calls)
        for j in range(self.n):
            self.channels[j * self.n + i] = ()
            if self.pair(i, j) in self.linked:
                self.linked.discard(self.pair(i, j))
                self.disconnect(i, j, keep=True, refused=True)
        for k, request in enumerate(self.requests):
            if self.world.takers[k] == i and request.status != NOT_YET:
                self.requests[k] = request._replace(status=ORPHANED) if request.status == RUNS else Request(ENDED)

    def do_pause(self, name: str) -> None:
        self.budget -= 1
        i = self.world.index[name]
        self.members[i] = self.members[i]._replace(status=PAUSED)

    def do_resume(self, name: str) -> None:
        i = self.world.index[name]
        self.members[i] = self.members[i]._replace(status=AWAKE)

    def do_known_dead(self, name: str, other: str, life: str) -> None:
        i = self.world.index[name]
        self.members[i] = self.members[i]._replace(knows=self.members[i].knows | {(other, life)})
        self.step(i, "known_dead", other, life)

    # The network.

    def do_cut(self, one: str, other: str) -> None:
        self.budget -= 1
        self.cut.add((self.world.index[one], self.world.index[other]))

    def do_cut_both(self, one: str, other: str) -> None:
        self.do_cut(one, other)
        self.cut.add((self.world.index[other], self.world.index[one]))

    def do_heal(self, one: str, other: str) -> None:
        self.cut.discard((self.world.index[one], self.world.index[other]))

    # The store.

    def do_store(self, name: str) -> None:
        i = self.world.index[name]
        self.answer(i, self.stored(i))

    def do_store_no_answer(self, name: str) -> None:
        self.budget -= 1
        i = self.world.index[name]
        self.stored(i)
        self.answer(i, ("store_failed",))

    def do_store_late_answer(self, name: str) -> None:
        self.budget -= 1
        i = self.world.index[name]
        answer = self.stored(i)
        self.members[i] = self.members[i]._replace(answers=(*self.members[i].answers, answer))

    def do_answer(self, name: str) -> None:
        i = self.world.index[name]
        answer, *rest = self.members[i].answers
        self.members[i] = self.members[i]._replace(answers=tuple(rest))
        self.step(i, *answer)

    def answer(self, i: int, answer: tuple) -> None:
        if self.members[i].status == AWAKE:
            self.step(i, *answer)
        elif self.members[i].status == PAUSED:
            self.members[i] = self.members[i]._replace(answers=(*self.members[i].answers, answer))

    def stored(self, i: int) -> tuple:
        """Do what a gateway asks of the store, and return the answer."""
        call, *rest = self.members[i].calls
        self.members[i] = self.members[i]._replace(calls=tuple(rest))
        if self.store_away:
            return ("store_failed",)
        if call[0] == "read":
            return ("store_read", self.store, call[1])
        _, roster, expected, began = call
        if expected != (json.loads(self.store)["epoch"] if self.store else 0):
            return ("store_written", False, began)
        self.store = roster
        return ("store_written", True, began)

    def do_store_away(self) -> None:
        self.budget -= 1
        self.store_away = True

    def do_store_back(self) -> None:
        self.store_away = False
