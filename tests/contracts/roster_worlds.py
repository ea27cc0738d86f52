"""Where a roster can be kept, and what can happen there."""

import itertools

from lease_api import NAMESPACE, PODS, LeaseApi

from autoscaler.app.roster_lease import LeaseRoster, new_life
from autoscaler.gateway.peers.file_roster import FileRoster
from autoscaler.kubernetes.client import ApiError
from autoscaler.testing import FakeRosterStore


class FakeWorld:
    def __init__(self, _folder):
        self._store = FakeRosterStore()
        self._lives = itertools.count(1)

    def store(self):
        return self._store

    async def start(self, _name):
        """Start a gateway; give its life."""
        return f"life-{next(self._lives)}"

    async def end(self, name, life):
        self._store.dead.add((name, life))

    async def forget(self, name, life):
        """Let nothing be known of a gateway."""

    def go_away(self):
        self._store.away = True

    def close(self):
        pass


class FileWorld:
    def __init__(self, folder):
        self.path = folder / "peers.roster"
        self._gateways = {}
        self._lives = itertools.count(1)

    def store(self):
        return FileRoster(self.path, patience_s=0.1)

    async def start(self, name):
        life = f"life-{next(self._lives)}"
        gateway = self._gateways[name] = FileRoster(self.path, patience_s=0.1)
        await gateway.hold(name, life)
        return life

    async def end(self, name, _life):
        self._gateways.pop(name).close()

    async def forget(self, name, _life):
        self.path.with_name(f"{self.path.name}.{name}.lock").unlink()

    def go_away(self):
        self.path.parent.rename(self.path.parent.with_name("unplugged"))

    def close(self):
        for gateway in self._gateways.values():
            gateway.close()


class LeaseWorld:
    def __init__(self, _folder):
        self.api = LeaseApi()

    def store(self):
        return LeaseRoster(self.api, NAMESPACE)

    async def start(self, name):
        uid = f"uid-{next(self.api.numbers)}"
        self.api.put(PODS, {"metadata": {"name": name, "uid": uid}, "status": {"phase": "Running"}})
        return new_life(uid)

    async def end(self, name, _life):
        del self.api.objects[f"{PODS}/{name}"]

    async def forget(self, name, _life):
        self.api.refusals[f"{PODS}/{name}"] = ApiError(404, "", "a proxy knows no such page")

    def go_away(self):
        self.api.failing = ApiError(0, "Unreachable", "connection refused")

    def close(self):
        pass
