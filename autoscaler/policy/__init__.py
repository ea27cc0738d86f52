"""The `ScalingPolicy`: its fields, its schema, how it is read, checked and explained, and the decider that follows it.

- `spec` has the document, with its parts in `algorithm`, `kpa`, `hpa_keda`, the rooms `schedule` and `traffic`,
  `metrics`, `http_texts`, `target_ref`, `pools` with `node_affinity`, `cost` and `candidates`; `decision_fields` has
  what a candidate may change. `annotations` has pause and override, and `status` what the controller writes into a
  policy in the cluster.
- `budget` has the document `GpuBudget`.
- `pod_ending` checks whether a pod that leaves has the time to finish a request.
- `decider_factory` has one row for each algorithm: how it is built, and how far it looks back.
- `loading` reads files, `schema` and `reference` generate the definition and the reference page, `explain` shows the
  effective settings. `knative_settings` reads Knative's own settings, `host_claims_file` the file of the operator.

It needs no network and no clock, so that the same document means the same in a cluster, in a file and in the simulator.
"""

from autoscaler.policy.spec import ScalingPolicy as ScalingPolicy
