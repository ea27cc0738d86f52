"""The engines: each runs the same scenario to the same history, at another speed.

`reference` is the one that is read, `compiled` the fast one, `fifo` and `fixed_fleet` the fastest where they can.
"""
