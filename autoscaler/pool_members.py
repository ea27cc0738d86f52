"""Members: the parts of a service that its pools run. What follows targets follows each member as if it were a service.

A member is named `namespace/name#pool`, which no service is. A service without pools is its own only member.
"""


def member_of(service: str, pool: str) -> str:
    """Name the member of a service that a pool runs."""
    return f"{service}#{pool}"


def service_of(member: str) -> str:
    """Give the service of a member; a service without pools is given as it is."""
    return member.partition("#")[0]


def pool_of(member: str) -> str:
    """Give the pool of a member; empty for a service without pools."""
    return member.partition("#")[2]
