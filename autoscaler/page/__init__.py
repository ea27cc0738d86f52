"""The page: what the fleet does and why, for a browser. Read-only, and computed only while somebody looks.

* `html`: the document of the first answer. Scripts and styles are in the folder assets; data.d.ts types what they get.
* `lean`: the scripts as they are sent.
"""
