"""The demo: the main job on one machine, from zero to five replicas and back, without a cluster.

The gateway, the controller and Prometheus are the real ones. `standin` and `pod` take the place of a GPU server, `load`
of its users. `witness` measures from outside, and `report` is the same for a live and a simulated run.
"""
