"""Pure scaling mathematics: numbers in, numbers out.

Nothing here reads a clock, a file or the network, logs, or knows a document: the time and every observation are
parameters, and the same sequence of observations gives the same sequence of decisions. Each algorithm is one file that
reads as its specification. `decider` applies the rules in `stabilisers` and the bounds to what an algorithm recommends.
"""
