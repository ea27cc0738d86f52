"""What the controller scales: implementations of `ports.ScaleTarget`, which do not know each other.

A target promises that `observe` and `scale` raise nothing: a service that cannot be observed is left out, and a request
that fails gives an `Outcome` with an error. It knows nothing about algorithms, counts of requests or policies.

* `kubernetes`: anything with a scale subresource. `kubernetes_ownership` decides who wrote the number,
  `kubernetes_foreign_writers` names the other writer, `kubernetes_drain` chooses the pods to remove and waits until
  gateways have stopped sending to them, `kubernetes_marks` marks them with the costs of `kubernetes_deletion_cost`,
  `kubernetes_not_ready` says why pods are missing, `kubernetes_unplaced` gives the fleet and counts the replicas that
  have no place. `activity` measures for how long replicas have been idle or busy, on all targets.
* `pooled`: services whose replicas run in several pools, over one of the other targets.
* `local`: processes of this machine, for the demo and for trials. `local_replica` is one of them,
  `local_die_with_parent` the program that ends it with its parent.
"""
