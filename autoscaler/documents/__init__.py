"""Reads documents: YAML with line numbers, values as in Kubernetes, and problems with file, line, key and value.

- `document` reads YAML, `fields` has the base of every model and the types of values, `problems` words what is wrong.
- `go_values` reads values as Go does, `prometheus_address` the address of a server, `promql` selectors.

It does not know the policy.
"""
