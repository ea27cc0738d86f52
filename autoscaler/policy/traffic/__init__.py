"""The section `spec.traffic` of a policy: what the gateway does with the requests and the clients of a service.

`gateway` has the section, `turns` who goes first, and `waiting` how long a request may wait and what its client learns
meanwhile. `autoscaler.app.gateway_config` maps them to the plain values of `autoscaler.gateway.config`.
"""

from autoscaler.policy.traffic.gateway import Traffic as Traffic
