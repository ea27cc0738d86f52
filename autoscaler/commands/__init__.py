"""The commands of `autoscaler`: one module each, with its arguments and the call that does the work.

A module imports nothing heavy at the top, so that `--help` and `validate` answer at once. `pyproject.toml` lists the
commands, and `autoscaler.cli` finds them there. A command prints and returns an exit status. Other rooms do the work.
"""
