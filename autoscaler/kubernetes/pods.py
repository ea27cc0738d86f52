"""The pods of one namespace, indexed by label so that a selector need not be matched with every pod. No I/O."""

from collections import defaultdict
from collections.abc import Iterable

from autoscaler.kubernetes.objects import Pod
from autoscaler.kubernetes.selectors import Selector, matches
from autoscaler.kubernetes.store import Change


class PodIndex:
    """Pods by name and by label, updated with a store's changes."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._labelled: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def take(self, changes: Iterable[Change[Pod]]) -> None:
        """Take changes in."""
        for change in changes:
            if change.before is not None:
                self._forget(change.before)
            if change.after is not None:
                self._remember(change.after)

    def select(self, selector: Selector) -> list[Pod]:
        """Give the selected pods, the oldest first."""
        found = [pod for pod in self._candidates(selector) if matches(selector, pod.labels)]
        return sorted(found, key=lambda pod: (pod.created_s, pod.name))

    def get(self, name: str) -> Pod | None:
        """Give one pod."""
        return self._pods.get(name)

    def _candidates(self, selector: Selector) -> Iterable[Pod]:
        """Give all pods with one of the required labels; most selectors require one."""
        for key, operator, values in selector:
            if operator == "In":
                return [self._pods[name] for value in values for name in self._labelled.get((key, value), ())]
        return self._pods.values()

    def _remember(self, pod: Pod) -> None:
        self._pods[pod.name] = pod
        for label in pod.labels.items():
            self._labelled[label].add(pod.name)

    def _forget(self, pod: Pod) -> None:
        del self._pods[pod.name]
        for label in pod.labels.items():
            self._labelled[label].discard(pod.name)
            if not self._labelled[label]:
                del self._labelled[label]
