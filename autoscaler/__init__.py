"""The live system: looks at the fleet, asks each policy, writes replicas, and records what it did and why.

`loop` is one tick as a plain function and `run` its live driver; `ports` are the seams between them and the world;
`sources` and `targets` stand behind those seams; `app` is the only place that builds concrete objects.
"""
