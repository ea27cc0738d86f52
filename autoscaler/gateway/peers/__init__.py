"""Several gateways that serve the same pods: each service has one owner among them, which alone grants its slots.

A gateway that has a client asks the owner for a slot and sends the request to the pod itself. No request passes between
gateways, only names and ages.

* `peer` is one gateway among its peers: it joins `membership` and the services, each a `shared_dispatcher`.
* `roster` has the members, their epochs, and who owns which service. `membership` says who is a member and who may
  start requests now, `cuts` who owns nothing because a link between two is cut.
* `shared_dispatcher` has the methods of a `Dispatcher`, and `shared_service` what gateways tell each other of one
  service. `quoted_service` asks the owner how long a request will wait. `claims` are the requests of the gateway's own
  clients, and `wait` is what an owner knows of one.
  `owned_service` is the owner's part, with its `book`: which slot is used by whom. `longest` is the longest service
  time.
* `messages` has what gateways tell each other, `reports` what they tell on a new epoch, `outbox` what leaves a `Peer`,
  and `times` how long they wait.

Up to here nothing does I/O, reads a clock or awaits. The tests walk through the interleavings of this code.

* `connections` are the sockets. `peer_list` reads where the peers are in file mode, `names` says what names are legal.
* `roster_store` says what keeps a roster, and `file_roster` keeps it on one machine.
* `runner` joins a `Peer`, its connections and its store in an event loop.
"""
