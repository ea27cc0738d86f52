"""Where counts of requests in flight come from: implementations of `ports.MetricsSource`.

A source promises that it raises nothing: a count that is missing is a `Reading` with a problem, never zero. It knows
nothing about algorithms, targets or policies.

* The gateways' own stream: `gateway_stream` (connections), `gateway_protocol` (the format of a line), `gateway_report`
  (what one gateway has reported) with `gateway_history` (its integrals), `counted_gateways` (which of them belong to a
  sum), `gateway_aggregate` (sums over all gateways), `known_gateways` (which series belong to a gateway).
* Prometheus: `prometheus` (HTTP), `prometheus_query` (PromQL), `prometheus_response` (what a response means),
  `prometheus_incremental` (the same, faster from one tick to the next), `prometheus_range` (history after a restart),
  `prometheus_pods` (what single pods run),
  `prometheus_credentials` and `prometheus_credentials_file` (authentication and TLS).
* For offline tools only: `prometheus_export`.
"""
