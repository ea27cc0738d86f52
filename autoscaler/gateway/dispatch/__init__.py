"""Which request of a service goes to which pod, and when.

* `dispatcher` has the rules and the events. It uses `backends` and `backend` (pods), `waiting` and `turns`
  (queues), `numbers` (order), `slots` (grants), `timers`, `absences` and `pod_health` (pods that get nothing for a
  while) and `reported_jobs`. `outlook` is what can be known of the grants to come.
* `types` has the values that go in and come out.
* `path_rules` says what a path costs, and `turn_rules` in which class a request is and of which client.

It knows neither sockets nor clocks, and promises the same grants for the same events: the simulator runs it too.
"""
