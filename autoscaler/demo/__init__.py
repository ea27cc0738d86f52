"""The demo on one machine, without a cluster: from zero to five replicas and back, with fake GPUs and clients.

It promises that gateway, controller and target are the real ones, and that its verdict is the exit status. Nothing in
production imports it.

* The run: `plan` (what happens, and how fast), `stage` (everything that is started), `live` (one run),
  `timeline` (what is seen during it), `prometheus` (a server of its own).
* The pods: `fake_pod` (the process), `fake_webui` (its HTTP API), `fake_gpu` (its jobs), `pictures` (its results).
* The load and the report: `load` (hey or our own client), `load_result`, `hey_summary`, `report`.
"""
