"""The gateway: it holds requests at zero pods, never exceeds a pod's concurrency limit, and counts requests in flight.

* `lifecycle` runs a process: signals, shutdown, reloads. `server` opens its ports.
* `router` finds the service of a request (`host_routes`), `proxied_request` serves it, `service` knows the requests
  that wait. `error_responses` has the gateway's own answers.
* `pods` knows the pods of a service, asks them whether they are ready and how busy they are, and warms them.
* `quotes` says how long a request that waits will wait, and whether that came true.
* `dispatch` decides which pod gets which request. It does no I/O, so the simulator uses the same objects.
* `waiting` tells clients that wait what to expect.
* `http` reads and writes HTTP/1.1.
* `counts` counts requests, and `reporting` shows the counts on the metrics port. `request_log` is the log.
* `tracing` gives requests their traces, and makes their spans when they have ended.

It does not know what scales the pods: a controller reads the counts from outside.
"""
