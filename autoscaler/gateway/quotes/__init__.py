"""How long a request that waits will wait: a quote, and whether it was kept.

* `quotes` gives the quotes of a service and grades them. `measured` keeps how long starts and requests took, and draws
  from that. `forward` runs a service forward to the `grants` of all that wait.
* `service_quotes` connects the quotes of a service to its requests, its pods and the other gateways.

`quotes`, `measured`, `forward` and `grants` know neither sockets nor clocks: the simulator grades the same objects.
"""
