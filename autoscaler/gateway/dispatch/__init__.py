"""Which request goes to which pod, and when: pure, without sockets and clocks.

The simulator runs these same objects.
"""
