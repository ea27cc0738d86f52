"""Why this number, and what comes next: the words and figures that the page, the terminal and the status show.

Values come in, sentences and rows go out: there is no clock, no network and no state of the controller here. A value
that is unknown makes a sentence shorter. It is never zero.

- `view` has what is known of one service at one time. `episodes` keeps since when something lasts, `forecast` runs the
  policy's own decider forward on what `assumptions` says.
- `sentences` answers for a service, `fleet` for all. `rules` has the words of each rule, `causes` those of a
  recommendation, `stock` those for pods without a place, `states` the tags. `next_change` says what is in flight and
  what comes next, `expectations` when replicas are ready.
- `why_not` says why it is not another number, `candidates` what a candidate wants. `log` goes through a decision log.
- `decisions` makes the rows of the table of decisions, `steps` opens one of them. `pods` has the order in which pods
  leave.
- `wording` writes numbers, durations and times.
"""
