"""Traces: from what was recorded of a service, or from public ones, to requests that can be replayed."""
