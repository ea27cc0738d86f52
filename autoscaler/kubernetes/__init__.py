"""What is known of Kubernetes and of its API server: calls, watches, leases, events; nothing about scaling.

`client` is the only module that talks HTTP. kubernetes_asyncio finds the server and the credentials; every list, watch
and object is plain JSON, of which each user keeps the few fields that it needs.
"""
