"""HTTP/1.1 on both sides of the gateway. It promises that no byte is misread, lost or sent twice.

* Clients: `clients` (all connections), `client_connection` (one), `pipeline`, `request_parser` and `incoming_body`
  (what it sends), `response_backlog` and `minimum_rate` (slow clients).
* Pods: `pod_pool` (one pod's connections), `pod_connection` (one), `response_parser`, `pod_call` (requests of the
  gateway itself), `resolver` (host names).
* Between them: `exchange` (one request at one pod), `tunnel` (a WebSocket), `headers` and `framing` (what both sides
  share), `trace_context`, `own_response`, `deadline`, `memory_budget`.

It knows neither services nor queues nor scaling.
"""
