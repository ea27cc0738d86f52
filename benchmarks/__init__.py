"""Figures for docs/evidence/performance.md; each benchmark prints a table and writes `build/bench/NAME.json`."""
