"""One module for each sub-command: its arguments, and the call that does the work. Nothing heavy is imported on top."""
