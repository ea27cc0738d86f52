"""Pure scaling mathematics: numbers in, numbers out.

Nothing here reads a clock, a file or the network, logs, or knows a document: the time and every observation are
parameters, and the same sequence of observations gives the same sequence of decisions. Each algorithm is one file that
reads as its specification.

* What goes in and comes out: `observation`, and `types` for the recommendation and the decision. `plausibility` says
  which numbers cannot be true.
* Algorithms: `concurrency` (the default), `mpa`, `kpa` with `kpa_core` and `kpa_scale`, `hpa` with its `hpa_*` parts,
  and `keda`.
* `budget` divides what several services share.
* What they are made of: `windows`, `good_time` (unknown counts stop the clock), `state`. `distributions` are the
  simulator's.
* `starts` measures starts and requests, and holds back a start that is not worth it.
* To add one: a file here, its settings in `autoscaler.policy.algorithm`, and a row in
  `autoscaler.policy.decider_factory`.
* `decider` applies to what an algorithm recommends the rules in `safety_rules` and `standby`, and the `bounds` of the
  time. `pools` places the replicas that were decided.
"""
