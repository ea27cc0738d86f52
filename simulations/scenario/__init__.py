"""The document `Scenario`: its fields, its workloads, and how it becomes the inputs of a run."""
