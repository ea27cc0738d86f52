"""Reports of results: as HTML, as PNG or SVG, and as figures for notebooks.

`kept` gives what a report needs of a result, from the result itself or from the JSON that `--json` wrote; `origin` says
what it was made from. `content` makes sections of it, `files` writes them for commands, `figures` has functions for
notebooks, and `command` is `autoscaler report`.
"""
