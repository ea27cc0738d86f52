"""Traces: from what was recorded of a service, or from public ones, to requests that can be replayed.

`importers` reads public formats, `recorded` our own records, `command` is `autoscaler trace`. The folders beside them
have public traces; `SOURCE.md` says where they come from.
"""
