"""The pods of a service as the gateway knows them, and what it asks them by itself.

* `service_pods` lists the pods of one service, takes them in and lets them go, and notes how their requests end.
* `pod_checks` has the order of the gateway's own requests: `pod_readiness`, then `pod_warm_up`, then `busy_poll`.
* `pod_interrupt` asks a pod to stop the work of a client that has disconnected.
"""
