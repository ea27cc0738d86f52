"""What every engine is given and what it gives: a run's inputs, its random streams, and its history.

`invariants` says what must hold in every history. Nothing here knows the document, or an engine.
"""
