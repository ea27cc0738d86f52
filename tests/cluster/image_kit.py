"""The image as a kubelet would start it: as its own user, with a read-only root and no capabilities.

Without an engine that is done by hand, with what util-linux has: a mount namespace of its own, the root bound
read-only, and the user, environment and entry point that the image's configuration names.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image
import pytest
import yaml
from installation import Container

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
ENTER = """
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    chroot "$root" mkdir -p "$2"
    inside="$root$(chroot "$root" readlink -f "$2")" # /var/run is a link to /run, which outside is another one
    mount --bind "$1" "$inside"
    mount -o remount,bind,ro "$inside"
    shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs \
    --bounding-set=-all env -i "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image; `root` is where its files are mounted, or None where an engine has it."""

    name: str
    root: Path | None
    configuration: Mapping[str, Any]

    def command(
        self,
        *arguments: str,
        entrypoint: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
    ) -> list[str]:
        """Give what starts it on this machine's network; mounts are folders by the paths they have inside."""
        environment, mounts = environment or {}, mounts or {}
        if self.root is None:
            return self._with_docker(arguments, entrypoint, environment, mounts)
        bound = [each for inside, folder in mounts.items() for each in (str(folder), inside)]
        variables = [*self.configuration["Env"], *(f"{name}={value}" for name, value in environment.items())]
        start = [*(entrypoint or self.configuration["Entrypoint"]), *arguments]
        enter = ["unshare", "--mount", "sh", "-ec", ENTER, "sh", str(self.root), self.configuration["User"]]
        return [*enter, *bound, "--", *variables, *start]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.command(*arguments, **options), capture_output=True, text=True, check=False)

    def launch(self, container: Container) -> tuple[list[str], dict[str, str] | None]:
        """Start it as a container of a pod: the account is found where a pod finds it."""
        config = yaml.safe_load(container.account.read_text())
        (user,), (cluster,) = config["users"], config["clusters"]
        given = container.account.with_suffix(f".{container.pod}")
        given.mkdir()
        (given / "token").write_text(user["user"]["token"])
        (given / "ca.crt").write_text(Path(cluster["cluster"]["certificate-authority"]).read_text())
        (given / "namespace").write_text(container.namespace)
        host, port = cluster["cluster"]["server"].removeprefix("https://").split(":")
        environment = {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "INFLIGHT_HOST": container.hosts,
            "INFLIGHT_TICK": "0.5s",
            **container.variables,
        }
        mounts = {ACCOUNT: given, **container.mounts}
        return self.command(*container.arguments, environment=environment, mounts=mounts), None

    def _with_docker(self, arguments, entrypoint, environment, mounts):
        safe = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host"]
        options = [f"--env={name}={value}" for name, value in environment.items()]
        options += [f"--volume={folder}:{inside}:ro" for inside, folder in mounts.items()]
        options += [f"--entrypoint={entrypoint[0]}"] if entrypoint else []
        return ["docker", "run", "--rm", *safe, *options, self.name, *entrypoint[1:], *arguments]


@contextmanager
def built() -> Iterator[Image]:
    """Build the image and have it at hand; fails where this machine cannot."""
    try:
        engine, name = image.build()
    except image.UnavailableError as error:
        pytest.fail(str(error))
    if engine == "docker":
        asked = ["docker", "image", "inspect", "--format", "{{json .Config}}", name]
        yield Image(name, None, json.loads(subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout))
        return
    configuration = json.loads(image.buildah("inspect", "--type=image", name))["OCIv1"]["config"]
    container = image.buildah("from", "--pull-never", name)
    try:
        yield Image(name, Path(image.buildah("mount", container)), configuration)
    finally:
        image.buildah("rm", container)
