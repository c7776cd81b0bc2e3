"""The page at `/docs`: the OpenAPI document for people, without scripts, so that it needs nothing that is not here."""

import html
from collections.abc import Iterator, Mapping
from typing import Any, Final

STYLE: Final = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
h2 { margin-top: 2.5rem; border-top: 1px solid #8886; padding-top: 1rem; }
table { border-collapse: collapse; }
td, th { padding: 0.1rem 1rem 0.1rem 0; text-align: left; vertical-align: top; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } a { color: #8bf; } }
"""

_REFERENCE: Final = "#/components/schemas/"


def docs_page(document: Mapping[str, Any]) -> str:
    """Whole page, in HTML."""
    info = document["info"]
    body = "\n".join((*_overview(document), *_operations(document), *_types(document)))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(info["title"])}</title>\n'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/docs.css"></head>\n'
        f"<body><h1>{_text(info['title'])} {_text(info['version'])}</h1>\n<p>{_text(info['description'])} "
        f'For programs: <a href="/openapi.json">openapi.json</a>.</p>\n{body}\n</body></html>\n'
    )


def _overview(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<table>"
    for path, method, operation in _each(document):
        name = _text(operation["operationId"])
        yield f'<tr><td><code>{method} <a href="#{name}">{path}</a></code><td>{_text(operation["summary"])}'
    yield "</table>"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, method, operation in _each(document):
        yield f'<h2 id="{_text(operation["operationId"])}"><code>{method} {path}</code></h2>'
        yield f"<p>{_text(operation['summary'])}</p><table>"
        for parameter in operation.get("parameters", ()):
            kind = _type(parameter["schema"])
            yield f"<tr><td><code>{_text(parameter['name'])}</code><td>{_text(parameter['in'])}<td>{kind}"
            yield f"<td>{_text(parameter.get('description', ''))}"
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"<tr><td>body<td><code>{_text(media)}</code><td>{_type(content.get('schema', {}))}<td>"
        for status, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                yield f"<tr><td>{_text(status)}<td><code>{_text(media)}</code><td>{_type(content.get('schema', {}))}"
                yield f"<td>{_text(answer['description'])}"
        yield "</table>"


def _types(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<h2 id="{_text(name)}">{_text(name)}</h2><p>{_text(schema.get("description", ""))}</p><table>'
        for field, kind in schema.get("properties", {}).items():
            yield f"<tr><td><code>{_text(field)}</code><td>{_type(kind)}<td>{_text(kind.get('description', ''))}"
        yield "</table>"


def _each(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield _text(path), _text(method.upper()), operation


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, linked to where it is described."""
    if "$ref" in schema:
        name = _text(schema["$ref"].removeprefix(_REFERENCE))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "enum" in schema:
        return " | ".join(_text(repr(value)) for value in schema["enum"])
    return _text(schema.get("type", "any"))


def _text(value: object) -> str:
    return html.escape(str(value))
