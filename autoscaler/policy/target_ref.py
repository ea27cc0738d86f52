"""What a policy scales: the name of an object with a scale subresource."""

from typing import Annotated

from pydantic import StringConstraints

from autoscaler.documents.fields import ResourceModel

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
Name = Annotated[str, StringConstraints(pattern=rf"^{LABEL}(\.{LABEL})*$", max_length=253)]


class ScaleTargetRef(ResourceModel):
    """The target: any object with a scale subresource, named as in HPA and KEDA."""

    api_version: Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?v[a-z0-9]+$", max_length=253)] = "apps/v1"
    """Group and version of its kind."""
    kind: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)] = "Deployment"
    """Its kind."""
    name: Name
    """Its name, in the policy's namespace."""
