"""The page's answers in a terminal: `autoscaler top` and `autoscaler explain`. It computes nothing of its own.

- `source` is what both ask: a fleet, a service, why not another number. `page_client` asks the page of a running
  controller or gateway, `log_files` reads decision logs instead. `values` has the parts of the answers that are shown.
- `port_forward` starts kubectl to reach a page in the cluster. `connection` chooses between these.
- `times` reads the time that a user asks about. `show_fleet` and `show_service` write, `watch_fleet`
  writes again and again.
"""
