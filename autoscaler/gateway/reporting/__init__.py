"""What a gateway reports of itself, on its metrics port.

* `admin_http` is the port.
* `metrics` writes the metrics for Prometheus, with those of `peer_metrics`.
* `inflight_stream` is the stream for the controller.
* `figures` has what a page shows of the answers of each service.
* `hint_post` takes the requests that programs announce.

Nothing here counts: `counts` and the dispatchers do, on the way of each request.
"""
