"""The gateway: holds requests at zero, never sends a pod more than it can take, and counts what is in flight.

`dispatch` decides who goes where and does no I/O, so that the simulator drives the very same object; everything that
touches a socket surrounds it. What scales the pods does not belong here: a controller reads the count from outside.
"""
