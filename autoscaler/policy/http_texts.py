"""Texts of HTTP in a policy: hosts, paths, and names of headers and cookies."""

from typing import Annotated

from pydantic import StringConstraints

from autoscaler.documents.fields import Shape

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
NAME_OR_ADDRESS = rf"{_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\]"
"""A host without its port: labels as DNS has them, with the underscores of Docker's names, or IPv6 in brackets."""

Host = Annotated[
    str,
    Shape(
        rf"\*|(\*\.)?({NAME_OR_ADDRESS})",
        "a name such as sd.example.com, an address such as [::1], a wildcard such as *.example.com, or * for any",
        253,
    ),
]
PathGlob = Annotated[
    str,
    Shape(
        r"/[^ ?#*]*(\*[^ ?#*]*){0,8}", "a path that begins with / and has no space, ? or #, with at most 8 stars", 256
    ),
]
Path = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=1024)]
Origin = Annotated[
    str,
    Shape(
        rf"\*|null|[A-Za-z][A-Za-z0-9+.-]*://({NAME_OR_ADDRESS})(:[0-9]{{1,5}})?",
        "an origin such as https://app.example.com, without a path, or * for any",
        300,
    ),
]
Method = Annotated[str, Shape(r"\*|[A-Z]{1,32}", "a method such as POST, or * for any", 32)]
HeaderName = Annotated[str, Shape(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header, or * for any", 128)]
UserAgent = Annotated[str, Shape(r"[ -~]{3,256}", "3 to 256 printable characters of ASCII", 256)]
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128)]
