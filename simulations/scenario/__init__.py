"""The document `Scenario`: its fields, its workloads, and how it becomes the inputs of a run.

`document` and `workloads` have the fields, `request_sources` draws the requests, and `candidates` has the policies to
compare. `to_run_inputs` gives plain values: engines do not know the document.
"""
