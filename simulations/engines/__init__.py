"""The engines. Each turns the same inputs into the same history, at a different speed.

`reference` is the most general one, and the one to read. `compiled` is faster, and `fifo` is the fastest. Both raise
`NotExactError` for a run that they cannot do exactly. `zero_delay` is a policy that queueing theory can solve.
"""
