"""The inputs and the output of every engine: a run's inputs, its random streams, and its history.

`invariants` checks what must hold in every history. Nothing here depends on the document or on an engine.
"""
