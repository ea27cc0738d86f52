"""The results of a run: figures, tables for notebooks, and the run result that the live demo reports.

Everything is computed from a history, never inside an engine. `streaming_figures` computes the figures of runs with too
many requests to keep.
"""
