"""What frameworks ask of an object which an endpoint returned and which they do not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Returned"]

_WORDS = (
    "a Stream is an ASGI application, and this framework answers with responses of its own: "
    "return trio_stream.frameworks.starlette.StreamResponse(stream)"
)


class Returned:
    """Says what to write, where a `Stream` would become its repr on a page, or an error."""

    __slots__ = ()

    if not TYPE_CHECKING:  # or a Stream would be an iterable, to who checks types

        def __iter__(self) -> Any:
            # What makes JSON of an object asks for its items: FastAPI does, and Ravyn.
            raise TypeError(f"{_WORDS}. To read one, enter it: async for chunk in stream.value")

    def __response__(self, request: object) -> Any:
        # FastHTML asks whatever has this method for the response.
        raise TypeError(_WORDS)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        # FastAPI wants a schema of what an endpoint says that it returns.
        raise TypeError(f"{_WORDS}, and annotate the endpoint -> StreamResponse")
