"""Where counts of requests in flight come from; each module is one adapter behind `ports.MetricsSource`.

`history` alone is for offline tools. Adapters do not see each other.
What a source cannot say is a `Reading` with a problem: never an exception, never zero.
"""
