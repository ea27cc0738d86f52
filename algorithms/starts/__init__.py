"""Whether the start of a replica is worth its GPU time.

* `service_times` and `cold_starts` learn from observations how long requests and starts take.
* `worth_a_start` is the rule that holds back a start while the queue is served sooner.
"""
