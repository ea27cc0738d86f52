"""From observation to decision, tick after tick: observe each service, decide, write, record. It knows ports only.

The data flows one way: `polling` and `idle` say what is asked, `observation` is what was seen, `step` decides on it,
`controller` drives all of it by the clock, `recorders` keep it, and `replay` decides on a kept log again.
"""
