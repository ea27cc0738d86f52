"""Converts the objects of other autoscalers to policies, with the Deployments and Services that belong to them.

- `source` has one document of the input, and accounts for each value in it; `findings` says what became of a value.
- `draft` has one service on its way: the objects that come out. `workload` makes them fit: ports, grace, no replicas.
- The packages `knative` and `keda` and the module `hpa` (with `hpa_metrics`) read one kind of input each; `kserve`
  refuses. `readers` has the table of them, and runs a conversion.
- Several of them need `served` (what stands beside: workload, Service, Ingress), `measures` (what a number counts, by
  its name), `behavior` (the HPA's) and `hand_over` (from what writes the same replicas).
- `annotations` has other programs' annotations, `routes` the route to the gateway that is asked for.
- `unrendered` refuses templates, `shapes` values of a wrong type. `report` writes the report and the objects as text.

Documents come in, documents and findings go out: there is no file, no network and no clock here.
"""
