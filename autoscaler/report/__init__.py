"""Reports: one HTML page, or a PNG or SVG file, made from sections, tables and charts.

`parts` says what a report is made of, `page` writes it as HTML, `plot` draws its charts with matplotlib, and `runs`
gives the charts and tables of runs. Nothing here knows where a run comes from.
"""
