"""Several gateways, what is between them, their store and their pods: states, and what can happen in each.

Gateways run the shipped code (`peer_machine`). The rest is a value (`peer_states`), so that a state can be kept,
compared and left in several ways (`peer_effects`).

Between two gateways is a channel each way, first in, first out. A message that is lost is a connection that breaks;
a message that is late waits in its channel while other things happen, for as long as the direction is cut.

What is not told apart, and why nothing is lost by it:
- What two gateways do by themselves commutes, and leads to the same state in either order: it is met once.
- Without a fault, all messages arrive and the store answers before the next tick of time. A later one is a cut.
- At a tick every gateway that is awake looks at its clock. One that does so later is one that is paused.
- Heartbeats and their acknowledgements arrive at once after a tick if nothing is before them. A later one gives a
  shorter permit, and so less can happen; a late or a lost one is a cut or a broken connection.
"""

from peer_effects import Draft
from peer_machine import Live, Machines
from peer_states import (
    ABSENT,
    AWAKE,
    DEAD,
    GONE,
    GRANTED,
    NOT_YET,
    PAUSED,
    RUNS,
    SERVED,
    WAITS,
    Broken,
    Member,
    Request,
    Scope,
    State,
)


class World:
    """What can happen, and what comes of it."""

    def __init__(self, scope: Scope, machines: Machines | Live | None = None) -> None:
        self.scope = scope
        self.names = scope.gateways
        self.n = len(self.names)
        self.machines = Machines(scope) if machines is None else machines
        self.index = {name: i for i, name in enumerate(self.names)}
        self.takers = [self.index[taker] for taker in scope.requests]

    def first(self) -> State:
        """Return the state in which all gateways that are there at the beginning are members and at rest."""
        state = State(
            0.0,
            tuple(Member() for _ in self.names),
            ((),) * (self.n * self.n),
            frozenset(),
            frozenset(),
            None,
            tuple(Request() for _ in self.scope.requests),
            frozenset(),
            self.scope.budget,
            10**6,
        )
        there = [name for name in self.names if name not in self.scope.later]
        for name in there:
            state = self.calm(self.after(state, ("join", name)), members=there[: there.index(name) + 1])
        return state._replace(ticks=self.scope.ticks)

    def calm(self, state: State, members: list[str]) -> State:
        """Let a fair schedule run until all are ready."""
        for _ in range(200):
            if all(state.members[self.index[name]].out.ready for name in members) and not self.pressing(state):
                return state
            state = self.fair_step(state)
        raise Broken(f"{members} never became ready")

    def fair_step(self, state: State) -> State:
        """Do what is most pressing, without faults; if nothing is, let time pass."""
        for action in self.helpful(state):
            return self.after(state, action)
        return self.after(state, ("tick",))

    # What can happen.

    def pressing(self, state: State) -> list[tuple]:
        """What must happen before time goes on."""
        found = [("deliver", self.names[i], self.names[j]) for i, j in self.deliverable(state)]
        found += [
            ("answer", self.names[i]) for i, each in enumerate(state.members) if each.answers and each.status == AWAKE
        ]
        found += [("store", self.names[i]) for i, each in enumerate(state.members) if each.calls]
        found += [
            ("end", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status == RUNS and self.is_awake(state, k) and state.time - each.since >= self.scope.service_time
        ]
        found += [
            ("end", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status == SERVED and self.is_awake(state, k)
        ]
        return found

    def deliverable(self, state: State) -> list[tuple[int, int]]:
        """Channels whose next event can arrive."""
        return [
            (i, j)
            for i in range(self.n)
            for j in range(self.n)
            if (channel := state.channels[i * self.n + j])
            and state.members[j].status == AWAKE
            and ((i, j) not in state.cut or channel[0][0] == "down")
        ]

    def is_awake(self, state: State, k: int) -> bool:
        return state.members[self.takers[k]].status == AWAKE

    def helpful(self, state: State) -> list[tuple]:
        """What a fair schedule does next."""
        found = [("resume", self.names[i]) for i, each in enumerate(state.members) if each.status == PAUSED]
        found += [("heal", self.names[i], self.names[j]) for i, j in sorted(state.cut)]
        if state.store_away and self.scope.store_returns:
            found.append(("store back",))
        found += self.connectable(state) + self.pressing(state) + self.startable(state) + self.endable(state)
        return found + self.provable(state)

    def provable(self, state: State) -> list[tuple]:
        """Ends of processes that a gateway can find out: a lock is free, a pod is gone, a new life has the name."""
        return [
            ("known dead", self.names[i], name, life)
            for i, each in enumerate(state.members)
            if each.status == AWAKE
            for name, life in each.out.suspects
            if (name, life) not in each.knows and self.has_ended(state, name, life)
        ]

    def has_ended(self, state: State, name: str, life: str) -> bool:
        member = state.members[self.index[name]]
        return member.status in {DEAD, GONE} or life != f"{name}{member.life}"

    def connectable(self, state: State) -> list[tuple]:
        awake = [i for i, each in enumerate(state.members) if each.status == AWAKE]
        return [
            ("connect", self.names[i], self.names[j])
            for i in awake
            for j in awake
            if i < j and not ({(i, j), (j, i)} & state.cut) and (i, j) not in state.linked
        ]

    def startable(self, state: State) -> list[tuple]:
        return [
            ("start", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status == GRANTED and self.is_awake(state, k)
        ]

    def endable(self, state: State) -> list[tuple]:
        return [
            ("end", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status in {RUNS, SERVED} and self.is_awake(state, k)
        ]

    def actions(self, state: State) -> list[tuple]:
        """Everything that can happen, faults too; or one thing, if all others can as well happen after it."""
        everything = self.everything(state)
        if state.budget or self.n > 2:
            return everything
        for action in everything:
            if action[0] == "deliver" and self.has_no_choice(state, everything, self.index[action[2]]):
                return [action]
        return everything

    def has_no_choice(self, state: State, everything: list[tuple], j: int) -> bool:
        """Tell whether one of two gateways can do nothing but take its next message.

        What the other one does before that only adds messages behind it. So each schedule leads to where a schedule
        leads that begins with this message.
        """
        member = state.members[j]
        return not member.calls and not member.answers and not any(self.acts(action) == j for action in everything)

    def acts(self, action: tuple) -> int | None:
        """Return the gateway that does something by itself."""
        kind, *arguments = action
        if kind in {"start", "end", "arrive"}:
            return self.takers[int(arguments[0][1:])]
        return self.index[arguments[0]] if kind in {"leave", "go", "resume", "known dead"} else None

    def everything(self, state: State) -> list[tuple]:
        """Everything that can happen, faults too."""
        pressing = self.pressing(state)
        found = list(pressing)
        if not pressing and state.ticks:
            found.append(("tick",))
        found += self.connectable(state) + self.startable(state)
        found += [each for each in self.endable(state) if each not in pressing]
        found += [
            ("arrive", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status == NOT_YET and self.is_awake(state, k) and self.comes_next(state, k)
        ]
        found += [("join", name) for name in self.scope.later if state.members[self.index[name]].status == ABSENT]
        found += [
            ("leave", name)
            for name in self.scope.leavers
            if (member := state.members[self.index[name]]).status == AWAKE and not member.told_to_go
        ]
        found += [
            ("go", self.names[i]) for i, each in enumerate(state.members) if each.status == AWAKE and each.out.may_go
        ]
        found += [("resume", self.names[i]) for i, each in enumerate(state.members) if each.status == PAUSED]
        found += [("heal", self.names[i], self.names[j]) for i, j in sorted(state.cut)]
        found += self.provable(state)
        if state.store_away and self.scope.store_returns:
            found.append(("store back",))
        if state.budget:
            found += self.faults(state)
        return found

    def comes_next(self, state: State, k: int) -> bool:
        """Requests of one gateway come in the order of their numbers: which one is first makes no difference."""
        return all(self.takers[i] != self.takers[k] or state.requests[i].status != NOT_YET for i in range(k))

    def faults(self, state: State) -> list[tuple]:
        """What may go wrong now."""
        found: list[tuple] = []
        kinds = self.scope.faults
        for kind in kinds[-state.budget :][:1] if self.scope.in_turn else kinds:
            found += getattr(self, f"fault_{kind}")(state)
        return found

    def fault_break(self, state):
        """The connection of two ends: of what is under way each way, all or nothing still arrives."""
        pairs = [(i, j) for i, j in sorted(state.linked) if self.lives(state, i) and self.lives(state, j)]
        found = []
        for i, j in pairs:
            ways = [(i, j), (j, i)]
            keeps = [[False, True] if state.channels[x * self.n + y] else [False] for x, y in ways]
            found += [("break", self.names[i], self.names[j], one, two) for one in keeps[0] for two in keeps[1]]
        return found

    def fault_refusal(self, state):
        """A gateway that lives refuses the connections of another for a moment."""
        living = [(i, j) for i, j in sorted(state.linked) if self.lives(state, i) and self.lives(state, j)]
        return [("break, refused", self.names[x], self.names[y]) for i, j in living for x, y in ((i, j), (j, i))]

    def lives(self, state, i):
        return state.members[i].status in {AWAKE, PAUSED}

    def fault_crash(self, state):
        return [("crash", self.names[i]) for i, each in enumerate(state.members) if self.lives(state, i)]

    def fault_restart(self, state):
        return [("restart", self.names[i]) for i, each in enumerate(state.members) if each.status == DEAD]

    def fault_pause(self, state):
        return [("pause", self.names[i]) for i, each in enumerate(state.members) if each.status == AWAKE]

    def fault_cut(self, state):
        """One direction, or both."""
        found = []
        for i in range(self.n):
            for j in range(self.n):
                if self.lives(state, i) and self.lives(state, j) and i != j and (i, j) not in state.cut:
                    found.append(("cut", self.names[i], self.names[j]))
                    if i < j and (j, i) not in state.cut:
                        found.append(("cut both", self.names[i], self.names[j]))
        return found

    def fault_slow(self, state):
        if self.pressing(state) or not state.ticks:
            return []
        return [
            ("slow tick", self.names[i])
            for i, each in enumerate(state.members)
            if self.lives(state, i) and not each.behind
        ]

    def fault_away(self, state):
        return [] if state.store_away else [("store away",)]

    def fault_unanswered(self, state):
        """The store does it, and its answer is lost, or late."""
        if state.store_away:
            return []
        calling = [self.names[i] for i, each in enumerate(state.members) if each.calls]
        return [(kind, name) for name in calling for kind in ("store, no answer", "store, late answer")]

    def fault_refuse(self, state):
        """A pod refuses the connection of a request that was granted it."""
        return [("refuse", action[1]) for action in self.startable(state)]

    def fault_abort(self, state):
        """A client goes away."""
        return [
            ("abort", f"r{k}")
            for k, each in enumerate(state.requests)
            if each.status in {WAITS, GRANTED, RUNS} and self.is_awake(state, k)
        ]

    # What comes of it.

    def after(self, state: State, action: tuple) -> State:
        """Return the state after an action; raises `Broken`."""
        draft = Draft(self, state)
        kind, *arguments = action
        getattr(draft, "do_" + kind.replace(",", "").replace(" ", "_"))(*arguments)
        return draft.state()
