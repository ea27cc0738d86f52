"""Looks for a better policy by simulating many variants of one scenario on the same random streams.

`space` says which variants there are, `sequential` how many runs each needs, `executors` where they run, `kept` which
are known from before, and `sweep` puts these together.
"""
