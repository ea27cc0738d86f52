"""Errors as text for people."""

_LONGEST = 200
"""Characters of an error that are shown."""


def described(error: BaseException) -> str:
    """Say what an error is in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
