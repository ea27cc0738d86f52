"""`spec.schedule`: bounds that depend on the time of the day or of the week.

- `windows` has the fields, and the bounds at a time that follow from them.
- `cron` reads the times at which a window opens and closes.
"""
