"""Traces that a scenario can replay, made from the records of a service or from public traces.

`importers` reads public formats, `recorded` reads Inflight's own records, and `command` is `autoscaler trace`. The
folders here have public traces; `SOURCE.md` names their sources.
"""
