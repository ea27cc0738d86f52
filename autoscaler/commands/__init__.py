"""The commands of `autoscaler`: one module each, with its options and the call that does the work.

A command promises exit status 0 for success, 1 for an unexpected result, and 2 with a message if it cannot run. A
module imports nothing heavy at the top, so that `--help` and `validate` answer at once. Its docstring is its help.

`pyproject.toml` lists the commands, and `autoscaler.cli` finds them there. `options` has what the long-running `run`
and `gateway` share: each of their options has an environment variable. Other packages do the work.
"""
