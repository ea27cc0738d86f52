"""A page that answers from a decision log, on a real port, and one that answers what a test says."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from autoscaler.terminal.log_files import LogFiles
from autoscaler.terminal.values import UnknownServiceError

LOG = Path(__file__).parents[2] / "data" / "explain" / "reference-run.jsonl"
SERVICE = "default/knative-sd-demo"


@contextmanager
def serving(respond):
    """Serve while the block runs; `respond(path)` gives a status and a body as bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = respond(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page_of_the_run(until_s=236.0):
    """Answer as the page of a controller did at that time of the reference run."""
    logs = LogFiles([LOG], until_s)

    def respond(path):
        parts = urlsplit(path)
        try:
            return 200, json.dumps(asyncio.run(_values(logs, parts))).encode()
        except UnknownServiceError:
            return 404, b'{"error": "No service of this name is known."}'

    return respond


async def _values(logs, parts):
    words = parts.path.split("/")[3:]
    if words == ["fleet"]:
        return await logs.fleet()
    service = "/".join(words[1:3])
    if words[3:] == ["why-not"]:
        return await logs.why_not(service, int(parse_qs(parts.query)["replicas"][0]))
    return await logs.service(service)
