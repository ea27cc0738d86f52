"""Walks through what can happen to several gateways: breadth first, or at random.

Breadth first, the first way to a broken promise is a shortest one. From a sample of the states that were met, faults
end and a fair schedule goes on: then every request that waits must be granted and end.
"""

import random
from dataclasses import dataclass, field
from time import process_time

from peer_machine import Live
from peer_states import AWAKE, GRANTED, PAUSED, RUNS, SERVED, WAITS, Broken, Scope, State
from peer_world import World

FAIR_STEPS = 3000
FAULT_RATE = 0.04
"""How often a walk at random lets something go wrong."""
MEND_RATE = 0.06
"""How often it lets that end."""
ENDS = {"heal", "resume", "store back", "end"}
FAULTS = {
    *("break", "break, refused", "crash", "restart", "pause", "cut", "cut both", "slow tick"),
    *("store away", "store, no answer", "store, late answer", "refuse", "abort"),
}
UNDER_WAY = {WAITS, GRANTED, RUNS, SERVED}


@dataclass
class Finding:
    """How a promise can be broken."""

    broken: str
    schedule: list[tuple]

    def __str__(self) -> str:
        lines = [f"{number:3} {' '.join(map(str, action))}" for number, action in enumerate(self.schedule, 1)]
        return "\n".join([f"{self.broken}, after:", *lines])


@dataclass
class Exploration:
    """What an exploration saw."""

    scope: str
    states: int = 0
    transitions: int = 0
    local_states: int = 0
    local_steps: int = 0
    depth: int = 0
    continued: int = 0
    exhausted: bool = False
    seconds: float = 0.0
    finding: Finding | None = None

    def __str__(self) -> str:
        end = "all of them" if self.exhausted else "then stopped"
        return (
            f"{self.scope}: {self.states:,} states ({end}), {self.transitions:,} transitions, depth {self.depth}, "
            f"{self.local_states:,} states of one gateway, {self.local_steps:,} steps of one, "
            f"{self.continued:,} continued to the end, {self.seconds:.1f} s of a processor"
        )


@dataclass
class Walk:
    """What a walk saw."""

    scope: str
    seed: int
    steps: int = 0
    finding: Finding | None = None


@dataclass
class Tree:
    """The states that were met, and how."""

    numbers: dict[State, int] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)
    actions: list[tuple] = field(default_factory=list)

    def add(self, state: State, parent: int, action: tuple) -> bool:
        """Note a state, and tell whether it is new."""
        number = self.numbers.setdefault(state, len(self.parents))
        if number != len(self.parents):
            return False
        self.parents.append(parent)
        self.actions.append(action)
        return True

    def schedule(self, number: int) -> list[tuple]:
        """Return the actions that lead to a state."""
        found = []
        while number:
            found.append(self.actions[number])
            number = self.parents[number]
        return found[::-1]


def explore(scope: Scope, *, most: int = 10**9, continue_each: int = 50) -> Exploration:
    """Walk breadth first through all that can happen, up to a number of states; stop at the first broken promise."""
    began = process_time()
    search = Search(scope, most, continue_each)
    seen = search.seen
    try:
        seen.finding = search.run()
    except Broken as broken:
        seen.finding = Finding(str(broken), [("at the beginning",)])
    seen.states = len(search.tree.parents)
    seen.local_states, seen.local_steps = len(search.world.machines), search.world.machines.steps
    seen.seconds = process_time() - began
    return seen


class Search:
    """A walk breadth first."""

    def __init__(self, scope: Scope, most: int, continue_each: int) -> None:
        self.world = World(scope)
        self.seen = Exploration(scope.name)
        self.tree = Tree()
        self.most = most
        self.continue_each = continue_each

    def run(self) -> Finding | None:
        """Walk, and return the first finding."""
        first = self.world.first()
        self.tree.add(first, 0, ())
        layer = [first]
        while layer:
            following: list[State] = []
            for state in layer:
                finding = self.leave(state, following)
                if finding or len(self.tree.parents) >= self.most:
                    return finding
            self.seen.depth += bool(following)
            layer = following
        self.seen.exhausted = True
        return None

    def leave(self, state: State, following: list[State]) -> Finding | None:
        """Do all that can happen in a state."""
        number = self.tree.numbers[state]
        for action in self.world.actions(state):
            try:
                then = self.world.after(state, action)
            except Broken as broken:
                return Finding(str(broken), [*self.tree.schedule(number), action])
            self.seen.transitions += 1
            if self.tree.add(then, number, action):
                following.append(then)
                stuck = self.goes_on(then)
                if stuck:
                    return Finding(stuck, self.tree.schedule(self.tree.numbers[then]))
        return None

    def goes_on(self, state: State) -> str:
        """Continue one of some states to the end; return who is left."""
        if len(self.tree.parents) % self.continue_each:
            return ""
        self.seen.continued += 1
        return ends_well(self.world, state)


def ends_well(world: World, state: State) -> str:
    """Let faults end and a fair schedule go on; return who is left, "" if nobody is."""
    schedule = []
    state = state._replace(ticks=10**6)
    for _ in range(FAIR_STEPS):
        if not any(each.status in {AWAKE, PAUSED} for each in state.members) or rests(world, state):
            return ""
        action = next(iter(world.helpful(state)), ("tick",))
        schedule.append(action)
        try:
            state = world.after(state, action)
        except Broken as broken:
            return f"{broken} (in a fair schedule: {schedule[-40:]})"
    return f"after the last fault and a fair schedule {left(state)} is still there"


def at_rest(world: World, state: State) -> State:
    """Let all that is under way arrive and gateways find out who has ended, and then requests end that were served."""
    while actions := world.provable(state) + world.pressing(state):
        state = world.after(state, min(actions, key=lambda action: action[0] == "end"))
    return state


def rests(world: World, state: State) -> bool:
    """Tell whether nobody waits or runs, and each gateway that lives serves or may go."""
    return not left(state) and not world.helpful(state)


def left(state: State) -> list[str]:
    """Return the requests that are still there, and the gateways that neither serve nor may go."""
    requests = [f"r{k} {each.status}" for k, each in enumerate(state.requests) if each.status in UNDER_WAY]
    awake = [(i, each) for i, each in enumerate(state.members) if each.status == AWAKE]
    stuck = [i for i, each in awake if not (each.out.may_go if each.told_to_go else each.out.ready)]
    return requests + [f"gateway {i} {'cannot go' if state.members[i].told_to_go else 'not ready'}" for i in stuck]


def walk(scope: Scope, seed: int, steps: int, fault_rate: float = FAULT_RATE) -> Walk:
    """Walk at random, a fault once in a while, and then to a good end."""
    world = World(scope, Live(scope))
    chance = random.Random(seed)  # noqa: S311 - any schedule will do
    walked = Walk(scope.name, seed)
    state = world.first()
    schedule: list[tuple] = []
    for _ in range(steps):
        everything = world.everything(state)
        if not everything:
            break
        action = chosen(chance, everything, fault_rate)
        schedule.append(action)
        try:
            state = world.after(state, action)
        except Broken as broken:
            walked.finding = Finding(str(broken), schedule)
            return walked
    walked.steps = len(schedule)
    stuck = ends_well(world, state)
    walked.finding = Finding(stuck, schedule) if stuck else None
    return walked


def chosen(chance: random.Random, actions: list[tuple], fault_rate: float) -> tuple:
    """Choose an action: seldom a fault, and not soon the end of one."""
    faults = [each for each in actions if each[0] in FAULTS]
    ends = [each for each in actions if each[0] in ENDS]
    rest = [each for each in actions if each[0] not in FAULTS | ENDS]
    for several, rate in ((faults, fault_rate), (ends, MEND_RATE)):
        if several and (not rest or chance.random() < rate):
            return chance.choice(several)
    return chance.choice(rest or actions)


def shortened(scope: Scope, finding: Finding) -> Finding:
    """Leave out of a schedule what it does not need; one after which somebody waits for ever stays as it is."""
    if again(scope, finding.schedule) is None:
        return finding
    best, length = finding, len(finding.schedule) // 2
    while length:
        start = 0
        while start < len(best.schedule):
            found = again(scope, best.schedule[:start] + best.schedule[start + length :])
            if found is None:
                start += length
            else:
                best = found
        length //= 2
    return best


def again(scope: Scope, schedule: list[tuple]) -> Finding | None:
    """Follow a schedule, without what cannot happen, to a broken promise."""
    world = World(scope, Live(scope))
    state, done = world.first(), []
    for action in schedule:
        if action not in world.everything(state):
            continue
        done.append(action)
        try:
            state = world.after(state, action)
        except Broken as broken:
            return Finding(str(broken), done)
    return None
