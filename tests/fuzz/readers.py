"""Readers of HTTP that are not ours: what each makes of the bytes of a wire, in the same words as ours."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import h11
from fuzz_targets import requests_of, response_of
from programs import find_go, go_environment, only_one

from autoscaler.runtime.programs import cache_folder

NET_HTTP = Path(__file__).parent / "nethttp"
SHARED = ("-trimpath", "-buildvcs=false")
"""As the control plane is built, so that what both are made of is compiled once."""


class Reading(NamedTuple):
    """The messages that are complete, by their bodies, and how the reading ended."""

    bodies: list
    ended: str
    """`refused`, `closed` where nothing may follow, or `incomplete` where more could."""


def ours(kind, wire):
    """Read as the gateway does."""
    if kind == b"Q":
        found, status, behind = requests_of([wire])
        bodies = [body for *_, body, complete in found if complete]
        last = behind is not None or (found and not found[-1][4] and found[-1][6])
        return Reading(bodies, "refused" if status else "closed" if last else "incomplete")
    response, refused = response_of([wire], bodiless=kind == b"H")
    if refused:
        return Reading([], "refused")
    return Reading([bytes(response.body)], "closed") if response.complete else Reading([], "incomplete")


def of_h11(kind, wire):
    """Read as h11 does, which uvicorn and httpx use."""
    try:
        return _requests_of_h11(wire) if kind == b"Q" else _response_of_h11(wire, head=kind == b"H")
    except h11.RemoteProtocolError:
        return Reading([], "refused")


def _requests_of_h11(wire):
    connection, bodies, body = h11.Connection(h11.SERVER, 1 << 20), [], b""
    connection.receive_data(wire)
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return Reading(bodies, "refused")
        match event:
            case h11.Request():
                body = b""
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage():
                bodies.append(body)
                if not _answered(connection):
                    return Reading(bodies, "closed")
            case h11.PAUSED:
                return Reading(bodies, "closed")
            case _:
                return Reading(bodies, "incomplete")


def _answered(connection):
    connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
        return False
    connection.start_next_cycle()
    return True


def _response_of_h11(wire, *, head):
    connection, body = h11.Connection(h11.CLIENT, 1 << 20), b""
    connection.send(h11.Request(method="HEAD" if head else "GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    at_end = False
    while True:
        match event := connection.next_event():
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage():
                return Reading([body], "closed")
            case h11.NEED_DATA if not at_end:
                connection.receive_data(b"")
                at_end = True
            case h11.NEED_DATA | h11.PAUSED | h11.ConnectionClosed():
                return Reading([], "incomplete")


class NetHttp:
    """Go's net/http, in a process of its own."""

    def __init__(self, program):
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, kind, wire):
        """Read as Go's server and client do."""
        self._process.stdin.write(kind + len(wire).to_bytes(4, "big") + wire)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Reading([base64.b64decode(body) for body in answer["bodies"]], answer["ended"])

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def net_http_program():
    """Give the path of the Go program, built where it is not there yet."""
    go = find_go(NET_HTTP)
    key = hashlib.sha256((NET_HTTP / "main.go").read_bytes()).hexdigest()[:12]
    program = cache_folder() / "go" / f"nethttp-{key}"
    with only_one("nethttp"):
        if not program.exists():
            made = program.with_suffix(".new")
            subprocess.run([go, "-C", NET_HTTP, "build", *SHARED, "-o", made, "."], env=go_environment(), check=True)
            shutil.move(made, program)
    return program
