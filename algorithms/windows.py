"""Knative's sliding windows: averages over whole seconds, and the maximum that delays a scale-down.

Rules of the averages (knative.dev/serving `aggregation/bucketing.go`), where n is the window in seconds, which is its
number of slots, L the last second written, and F the first:

1. A slot is a sum: what is recorded in one second is added up.
2. The slot of a second is `second mod n`. Moving on to a later second empties the slots in between.
3. A second that is n or more before L is too old and ignored; a younger one is added to its old slot.
4. A gap of n seconds or more empties the window, and F starts afresh.
"""

from collections import deque
from math import ceil, floor

from algorithms.state import VERSION, check
from algorithms.types import State

_NEVER = -(2**62)
"""F and L of a window that was never written: longer ago than any window."""

DELAY_SLOT_S = 2
"""The length of a slot of the delay: Knative's tick."""

_LONGEST_FILL_S = 7200
"""Twice the longest window: of an observation over more seconds only the last ones are still in a window."""

SMALLEST_SMOOTHING = 0.2
WEIGHT_OUTSIDE = 0.0001
"""The part of the weights outside of a window of n slots, if the smoothing is not the smallest."""


class _Slots:
    """The ring of one-second sums and its running total, shared by both averages."""

    __slots__ = ("_first", "_last", "_slots", "_total", "_window_s")

    def __init__(self, window_s: int) -> None:
        self._window_s = window_s
        self._slots = [0.0] * window_s
        self._total = 0.0
        self._first = _NEVER
        self._last = _NEVER

    def record(self, second: int, value: float) -> None:
        """Add a value to a second (rule 1)."""
        if second == self._last or self._admits(second):
            self._slots[second % self._window_s] += value
            self._total += value

    def replace(self, second: int, value: float) -> None:
        """Make a value the only one of its second."""
        if second == self._last or self._admits(second):
            slots, slot = self._slots, second % self._window_s
            self._total = self._total - slots[slot] + value
            slots[slot] = value

    def fill(self, seconds: range, value: float, newest: float) -> None:
        """Make a value the only one of each of some seconds, and `newest` that of the second after them.

        The result equals that of `replace` for each to the last bit, at a third of the cost if they come in order.
        """
        window_s = self._window_s
        if len(seconds) > _LONGEST_FILL_S:
            seconds = seconds[-window_s:]
        if seconds.start != self._last or not seconds or window_s == 1:
            for second in seconds:
                self.replace(second, value)
            self.replace(seconds.stop, newest)
            return
        slots, total = self._slots, self._total
        # After a window of zeros each further zero takes the place of a zero.
        for second in seconds if value else seconds[:window_s]:
            slot = second % window_s
            total = total - slots[slot] + value
            slots[slot] = value
        slot = seconds.stop % window_s
        self._total = total - slots[slot] + newest
        slots[slot] = newest
        self._last = seconds.stop

    def _admits(self, second: int) -> bool:
        """Advance to a later second, or tell whether an earlier one still has its slot."""
        if second > self._last:
            self._advance(second)
            return True
        if second + self._window_s <= self._last:  # rule 3
            return False
        self._first = second if self._first == _NEVER else min(self._first, second)
        return True

    def _advance(self, second: int) -> None:
        last, self._last = self._last, second
        if second - last >= self._window_s:  # rule 4
            self._slots = [0.0] * self._window_s
            self._total = 0.0
            self._first = second
            return
        slots = self._slots
        for skipped in range(last + 1, second + 1):  # rule 2
            slot = skipped % self._window_s
            self._total -= slots[slot]
            slots[slot] = 0.0
        if self._first == _NEVER:
            self._first = second

    def is_empty(self, second: int) -> bool:
        """Tell whether nothing was recorded for *more* than a window before `second`."""
        return second - self._last > self._window_s

    def known_s(self, second: int) -> int:
        """Give how many seconds of the window that ends with this second are averaged."""
        if self._first == _NEVER:
            return 0
        behind = max(0, second - self._last)
        return max(0, min(self._last - self._first + 1, self._window_s - behind))

    def resize(self, window_s: int, second: int) -> None:
        """Change the length of the window at `second`, and keep the newest slots that fit.

        As in Knative, F is then one old window before L, even if less was known: the divisor of a young window jumps.
        """
        if window_s == self._window_s:
            return
        slots, total = [0.0] * window_s, 0.0
        kept = 0 if self.is_empty(second) else min(window_s, self._window_s)
        for old in range(self._last, self._last - kept, -1):
            slots[old % window_s] = self._slots[old % self._window_s]
            total += slots[old % window_s]
        self._first = self._last - self._window_s + 1 if kept else _NEVER
        self._window_s, self._slots, self._total = window_s, slots, total

    def export(self) -> State:
        """Give the sums, oldest first and from the first that is not zero."""
        oldest = self._last - self._window_s + 1
        sums = [self._slots[second % self._window_s] for second in range(oldest, self._last + 1)]
        zeros = next((place for place, value in enumerate(sums) if value), len(sums))
        return {
            "version": VERSION,
            "window_s": self._window_s,
            "first": None if self._first == _NEVER else self._first,
            "last": None if self._last == _NEVER else self._last,
            "total": self._total,
            "sums": sums[zeros:],
        }

    def restore(self, state: State) -> None:
        """Continue from an exported window, which is resized to the length of this one."""
        check(state, "window")
        window_s, self._window_s = self._window_s, state["window_s"]
        self._first = _NEVER if state["first"] is None else state["first"]
        self._last = _NEVER if state["last"] is None else state["last"]
        self._total = state["total"]
        self._slots = [0.0] * self._window_s
        for age, value in enumerate(reversed(state["sums"])):
            self._slots[(self._last - age) % self._window_s] = value
        self.resize(window_s, self._last)


class LinearWindow(_Slots):
    """The plain average over the seconds since the first one written, at most the window."""

    __slots__ = ()

    def average(self, second: int) -> float:
        """Average as of `second`, rounded to 6 decimals; 0 if nothing was written for a window.

        A second without a record counts as zero, but those since L are left out: the value holds for a window.
        """
        behind, slots, total = second - self._last, self._window_s, self._total
        if behind >= slots:
            return 0.0
        if behind > 0:
            # Their slots still hold what was written n seconds earlier, which is no longer in the window.
            for missing in range(self._last + 1, second + 1):
                total -= self._slots[missing % slots]
            slots -= behind
        return _rounded(total / min(self._last - self._first + 1, slots))


class WeightedWindow(_Slots):
    """The exponentially weighted sum: the newest second weighs most, and silence decays the value.

    The weights are not normalised: a young window reads too little.
    """

    __slots__ = ()

    def average(self, second: int) -> float:
        """Weigh as of `second`: the sum over the ages i of slot[L - i] * a * (1 - a)^(i + second - L)."""
        n = self._window_s
        behind = max(0, second - self._last)
        if behind >= n:
            return 0.0
        smoothing = smoothing_of(n)
        keep = 1 - smoothing
        weight = smoothing * keep**behind
        newest = self._last % n
        value = 0.0
        for slot in (self._slots[newest::-1] + self._slots[:newest:-1])[: n - behind]:
            value += slot * weight
            weight *= keep
        return value


def smoothing_of(slots: int) -> float:
    """Give a, the weight of the newest second in a window of `slots`."""
    kept_per_slot: float = WEIGHT_OUTSIDE ** (1 / slots)
    return max(1 - kept_per_slot, SMALLEST_SMOOTHING)


def _rounded(value: float) -> float:
    """Round to 6 decimals, half away from zero; `round` would round half to even."""
    scaled = abs(value) * 1e6
    whole = floor(scaled)
    if scaled - whole >= 0.5:  # noqa: PLR2004 - a half is a half
        whole += 1
    return (whole if value >= 0 else -whole) / 1e6


class DelayWindow:
    """The highest number recorded in the newest `ceil(delay_s / 2)` slots of two seconds, the current one included.

    It keeps only numbers that can still be the highest: each is higher than all later ones (knative.dev/serving
    `aggregation/max`).
    """

    __slots__ = ("_delay_s", "_maxima")

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._maxima: deque[tuple[int, int]] = deque()

    def record(self, now_s: float, value: int) -> None:
        """Record a number; of several in one slot the highest counts."""
        slot = self._forget(now_s)
        maxima = self._maxima
        while maxima and maxima[-1][1] <= value:
            maxima.pop()
        if not maxima or maxima[-1][0] != slot:
            maxima.append((slot, value))

    def maximum(self, now_s: float) -> int:
        """Give the highest number within the delay; 0, which delays nothing, if none was recorded."""
        self._forget(now_s)
        return self._maxima[0][1] if self._maxima else 0

    def _forget(self, now_s: float) -> int:
        slot = floor(now_s / DELAY_SLOT_S)
        oldest = slot - max(1, ceil(self._delay_s / DELAY_SLOT_S)) + 1
        while self._maxima and self._maxima[0][0] < oldest:
            self._maxima.popleft()
        return slot

    def export(self) -> State:
        """Give the delay and the numbers that may still be the highest."""
        return {"version": VERSION, "delay_s": self._delay_s, "maxima": [list(entry) for entry in self._maxima]}

    def restore(self, state: State) -> None:
        """Continue with exported numbers; the delay stays that of this window."""
        check(state, "delay")
        self._maxima = deque((slot, value) for slot, value in state["maxima"])
