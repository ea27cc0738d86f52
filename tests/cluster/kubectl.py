"""The real kubectl, as a user would type it."""

import subprocess

import yaml
from control_plane import RefusedError


def kubectl(control_plane, *arguments, account=None, body=None):
    """Run kubectl and return what it printed; a failure shows what it said."""
    told = subprocess.run(
        ["kubectl", *arguments],
        env=control_plane.environment(account),
        input=body,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise RefusedError(told.returncode, told.stderr)
    return told.stdout


def objects(control_plane, folder):
    """Give what a folder with a kustomization comes to."""
    return list(yaml.safe_load_all(kubectl(control_plane, "kustomize", str(folder))))


def apply(control_plane, folder, *options):
    """Apply a folder with a kustomization."""
    told = kubectl(control_plane, "apply", "--server-side", "--force-conflicts", "-k", str(folder), *options)
    assert "Warning" not in told
    return told
