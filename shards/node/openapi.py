"""The OpenAPI 3.1 document, made from the operations and the types that serve them: it cannot fall behind them."""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from shards.node.api_types import Answer, CertifiedEvent, ErrorAnswer, ExecutedEvent, FinalizedEvent
from shards.node.http_operations import Operation

_EVENTS: Final = (FinalizedEvent, ExecutedEvent, CertifiedEvent)
_BINARY: Final = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


def openapi_document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Whole document, ready for JSON."""
    operations = tuple(operations)
    types: list[type] = [ErrorAnswer, *_EVENTS]
    for operation in operations:
        types += [kind for _, kind in operation.body if kind is not None]
        if isinstance(operation.answer, type):
            types.append(operation.answer)
    types = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    references = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        # The router's pattern for a rest of path, {key:.+}, is {key} here.
        paths.setdefault(re.sub(r":[^{}]+}", "}", operation.path), {})[operation.method.lower()] = _describe(
            operation, references
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ostraka validator",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "One validator of one shard. Hashes and encoded records are lower-case hexadecimal,"
            " amounts are base units in decimal text, times are Unix milliseconds.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(operation: Operation, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            "200": {"description": "success", "content": _content(operation.answer, references)},
            "default": {
                "description": "what went wrong, and whose fault it is",
                "content": {"application/json": {"schema": references[ErrorAnswer]}},
            },
        },
    }
    if operation.may_be_empty:
        described["responses"]["204"] = {"description": "there is none yet"}
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.place == "path",
                "description": parameter.about,
                "schema": {"type": parameter.kind},
            }
            for parameter in operation.parameters
        ]
    if operation.body:
        forms = {media: _BINARY if kind is None else {"schema": references[kind]} for media, kind in operation.body}
        described["requestBody"] = {"required": True, "content": forms}
    return described


def _content(answer: type[Answer] | str, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(answer, str):
        return {"application/json": {"schema": references[answer]}}
    if answer == "text/event-stream":
        kinds = {"oneOf": [references[kind] for kind in _EVENTS]}
        return {answer: {"schema": {"type": "string"}, "x-event-data": kinds}}
    if answer.startswith("application/octet"):
        return {answer: _BINARY}
    return {answer: {"schema": {"type": "string"}}}
