"""Kubernetes and its API server: calls, watches, the Lease, events and statuses. It knows nothing about scaling rules.

It promises that every list and watch recovers by itself, that one unreadable object never hides the others, and that
every request has a deadline. Objects are plain JSON of which only the needed fields are kept (`objects`, `pod_start`,
`timestamps`).

* Talking: `account` (server and credentials), `client` (the only module that sends HTTP requests).
* Following: `store` and `informer` (one collection), `watches` (many of them), `scales`, `pods`, `workloads`.
* Roles: `lease` (leader election), `policies`, `namespaces` and `gateways` (what we read), `backends` (pods for a
  gateway), `policy_status`, `pool_status`, `events` and `reporting` (what we write about policies), `pool_copies` (the
  Deployments that we make for pools) and `pool_copy` (what each must be).
"""
