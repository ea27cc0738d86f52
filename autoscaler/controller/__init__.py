"""From observation to decision, tick after tick: observe each service, decide, write, record. It knows only ports.

- `controller` runs ticks and wake-ups by the clock. `services` is the registry of what it decides on.
- `polling` reads Prometheus, `observe` combines the counts, `step` decides. `idle` skips services without traffic, and
  `revisions` knows which large mappings have not changed.
- `budgets` limits the decisions of services that share GPUs or money.
- `backfill` fills the windows of new deciders from history. `failures` keeps an error with its own service.
- `accounting` adds up GPU time, cost and cold starts.
- `recorders` keep each decision in logs, `/status` and `metrics`; `log_file` reads a log, `replay` decides on it again.
- `start_spans` makes the spans of pods' starts, for traces.
"""
