"""Builds the programs from their parts: the only package that knows sources, targets, policies and the controller.

It promises that a changed policy or file takes effect without a restart, and that an invalid one changes nothing. It
contains no rules about scaling or routing.

* In a cluster: `cluster_controller` (assembly), `controller_settings`, `followed_policies` (from resources and files to
  the registry of services), `cluster_target` (what scales), `scaled_objects` (which objects a policy scales),
  `cluster_gateway`, `host_permissions` (which namespaces may claim which hosts), `peer_secret` (the key by
  which gateways know each other), `roster_lease` (who they are), `older_gateways` (which knew no peers).
* On one machine: `local`.
* For both: `gateway_config` (from a policy to the gateway's configuration), `gateway_peers` (joins several gateways),
  `policy_files` (files that are followed), `beside` (work that goes on beside a block).
"""
