"""Pure scaling mathematics: numbers in, numbers out.

Nothing here reads a clock, a file or the network, logs, or knows what a document looks like: `now` and every
observation are parameters, and the same sequence of looks gives the same sequence of decisions. One file per algorithm;
each reads as its specification.
"""
