"""`autoscaler compare`: the active policy of a service and its candidates on the load that was recorded of it.

- `load` reads the recorded requests, the policy and the measured cold starts.
- `blocks` adds up what a run used in each block of time, and gives intervals by resampling blocks.
- `replays` simulates each policy on the load, and `report` says how they differ. `command` is the command.
"""
