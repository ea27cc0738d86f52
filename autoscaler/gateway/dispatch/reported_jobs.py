"""How many slots of a pod are taken that tells itself how many jobs it runs: whatever is known, nothing twice.

Rules:
1. A request that was granted before the pod was asked may be one of the jobs that it told: the larger number counts.
2. One that was granted since is none of them. It holds its slot until the pod has been asked again, though its response
   may be there: the work may go on behind it.
3. What a pod told stands until it tells something else. Silence is not zero.
"""


class Occupancy:
    """The slots of one pod."""

    __slots__ = ("_jobs", "_since")

    def __init__(self) -> None:
        self._jobs = 0
        self._since: dict[int, bool] = {}
        """The requests that were granted since the pod was asked, by number, and whether they are still open."""

    def granted(self, number: int) -> None:
        """Note a request, by a number that grows."""
        self._since[number] = True

    def ended(self, number: int) -> None:
        """Note that a request was answered, or broken off."""
        if number in self._since:
            self._since[number] = False

    def refused(self, number: int) -> None:
        """Note that the pod never saw a request."""
        self._since.pop(number, None)

    def told(self, jobs: int, newest: int) -> None:
        """Note what the pod says it works on; it was asked when `newest` was the newest request."""
        self._jobs = jobs
        self._since = {number: is_open for number, is_open in self._since.items() if number > newest}

    def taken(self, running: int) -> int:
        """Give the slots that are taken where so many requests are open."""
        return max(self._jobs, running - sum(self._since.values())) + len(self._since)
