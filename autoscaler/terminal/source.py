"""What `top` and `explain` ask, whoever answers."""

from collections.abc import Sequence
from typing import Any, Protocol


class Source(Protocol):
    """Answers as the page does, with the same JSON values."""

    @property
    def name(self) -> str:
        """How messages name it."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What its answers leave out."""
        ...

    async def fleet(self) -> Any:
        """Give all services.

        Raises:
            AnswerError: there is no answer.
        """
        ...

    async def service(self, service: str) -> Any:
        """Give one service, by `namespace/name`.

        Raises:
            UnknownServiceError: there is no such service.
            AnswerError: there is no answer.
        """
        ...

    async def why_not(self, service: str, replicas: int) -> Any:
        """Give why it does not have this number of replicas.

        Raises:
            AnswerError: there is no answer.
        """
        ...
