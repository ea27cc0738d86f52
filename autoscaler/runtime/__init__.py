"""What any long-running program needs: clock, files, logs, signals, sockets, memory.

Nothing here knows a policy, Kubernetes or the gateway, and nothing here decides.
"""
