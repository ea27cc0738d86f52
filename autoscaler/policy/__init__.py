"""The `ScalingPolicy`: its fields, its schema, how it is read and explained, and which decider it asks for.

It waits for nothing and talks to nobody: the same documents give the same settings in a cluster, in a file and in the
simulator.
"""

from autoscaler.policy.spec import ScalingPolicy as ScalingPolicy
