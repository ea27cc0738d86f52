"""How documents are read: YAML with line numbers, values as Kubernetes spells them, problems in one place.

Nothing here knows what a policy says.
"""
