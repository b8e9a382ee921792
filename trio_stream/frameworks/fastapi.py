"""For FastAPI's documentation: what the events of a stream are.

::

    from trio_stream.frameworks.fastapi import event_stream
    from trio_stream.frameworks.starlette import StreamResponse

    @app.get("/ticks", response_class=StreamResponse, responses=event_stream(Tick))
    async def ticks() -> StreamResponse:
        return StreamResponse(Stream(numbers(), event="tick"))
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

__all__ = ["event_stream"]

#: An event, as OpenAPI 3.2 has it (4.14.4).
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}


def event_stream(item: Any = None) -> dict[int | str, dict[str, Any]]:
    """FastAPI's ``responses=`` for an endpoint that answers with an event stream.

    Args:
      item: the type of the events' data, anything that pydantic knows; None if it is text.

    Raises:
      pydantic.PydanticSchemaGenerationError: ``item`` is no such type.
    """
    event = {**_EVENT, "properties": dict(_EVENT["properties"])}
    if item is not None:
        event["required"] = ["data"]
        event["properties"]["data"] = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": _schema(item),
        }
    return {200: {"content": {"text/event-stream": {"itemSchema": event}}}}


def _schema(item: Any) -> Any:
    """The JSON schema of a type, whole in itself: FastAPI collects the parts of its own alone."""
    schema = TypeAdapter(item).json_schema(mode="serialization")
    return _whole(schema, schema.pop("$defs", {}), ())


def _whole(schema: Any, parts: dict[str, Any], within: tuple[str, ...]) -> Any:
    """A schema with its parts in place of references; what holds itself is anything, there."""
    if isinstance(schema, list):
        return [_whole(each, parts, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        part = {} if name in within else _whole(parts.get(name, {}), parts, (*within, name))
        return {**part, **_whole(rest, parts, within)}
    return {key: _whole(value, parts, within) for key, value in schema.items()}
