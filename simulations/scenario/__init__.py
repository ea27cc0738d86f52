"""The document `Scenario`: its fields, its workloads, and how it becomes the inputs of a run.

`document` and `workload_spec` have the fields, `workloads` draws the requests, `candidates` are the policies that are
compared. Past this room there is no document any more, only plain values.
"""
