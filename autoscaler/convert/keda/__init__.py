"""Reads the objects of KEDA and of its HTTP add-on.

- `scaled_object` reads a ScaledObject, with its `triggers` (cron: `windows`) and the route that one of them names.
- `http_scaled_object` reads an HTTPScaledObject, which makes its ScaledObject itself, and refuses the other kinds.
- `route` has what an HTTPScaledObject and an InterceptorRoute say of requests.
"""
