"""How many slots of a pod are taken that reports how many jobs it runs: nothing is counted twice.

Rules:
1. A request that was granted before the pod was asked may be one of the reported jobs: the larger number counts.
2. A request that was granted since is none of them. It holds its slot until the pod has been asked again, even after
   its response, because the pod may go on working.
3. A report stays valid until the next one. A pod that does not answer does not have zero jobs.
"""


class ReportedJobs:
    """The slots of one pod."""

    __slots__ = ("_jobs", "_since")

    def __init__(self) -> None:
        self._jobs = 0
        self._since: dict[int, bool] = {}
        """The requests that were granted since the pod was asked, by number, and whether they are still open."""

    def granted(self, number: int) -> None:
        """Note a request; numbers grow."""
        self._since[number] = True

    def ended(self, number: int) -> None:
        """Note that a request was answered or broken off."""
        if number in self._since:
            self._since[number] = False

    def refused(self, number: int) -> None:
        """Note that the pod never received a request."""
        self._since.pop(number, None)

    def reported(self, jobs: int, newest: int) -> None:
        """Note how many jobs the pod reports; it was asked when `newest` was the newest request."""
        self._jobs = jobs
        self._since = {number: is_open for number, is_open in self._since.items() if number > newest}

    def slots(self, running: int) -> int:
        """Return how many slots are taken if this many requests are open."""
        return max(self._jobs, running - sum(self._since.values())) + len(self._since)
