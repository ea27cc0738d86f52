"""What any long-running program needs. It knows no policy, no Kubernetes and no gateway.

It promises that writing logs never blocks, that a changed file is noticed within seconds, and that time never steps.

* Process: `signals`, `descriptors`, `memory`, `gc_tuning`, `clock`, `programs` (to find other programs).
* Files and logs: `files` (changes), `logs`, `background_writer`, `errors` (as text).
* Network: `listeners`, `bearer_tokens`, `backoff`, `prometheus_text` (metrics), `pieces` (of a long response),
  `probe_user_agents`, `spans` (OpenTelemetry).
"""
