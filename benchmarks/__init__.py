"""Benchmarks: each prints a table, and writes its figures to `build/bench/NAME.json`.

`make bench` runs all. docs/evidence/performance.md has the figures and says on which machine they were measured.
"""
