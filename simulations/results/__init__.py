"""What a run has shown: figures, tables for notebooks, and the report of the demo.

Everything is computed from a history, never inside an engine. `streaming_figures` does it for runs that are too
large to keep.
"""
