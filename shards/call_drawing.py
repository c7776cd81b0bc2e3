"""A contract's trace as text: the calls as a tree, then one traceback through all contracts that took part."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from contracts.values import BadValue, Value, read
from primitives.addresses import format_address
from primitives.identifiers import PublicKey
from shards.call_tree import OK, OPEN, STARVED, CallNode, traceback_lines
from shards.trace_parts import Asked

LEFT_COLUMN = 45
WIDEST_LEFT_COLUMN = 72
"""Characters of the tree before what is said beside it."""

OUTCOME_COLUMN = 22
GAS_COLUMN = 8

MAX_ARGUMENT = 24
"""Characters of one argument or result shown."""

MAX_ARGUMENTS = 48
"""Characters of all arguments of a call shown."""


class CallDrawing:
    """Calls being drawn; `names` are those of accounts, by address in bytes."""

    def __init__(self, names: Mapping[bytes, str]) -> None:
        self._names = {format_address(PublicKey(key)): name for key, name in names.items() if len(key) == 32}

    def signature(self, asked: Asked) -> str:
        """What was asked, as it would be written: shop.buy("owl")."""
        if asked.verb == "deploy":
            return f"deploy {asked.contract}"
        if asked.verb == "upgrade":
            return f"upgrade {asked.contract}"
        if asked.verb == "top up":
            return f"top up {asked.contract[:16]}…"
        return f"{asked.contract}.{asked.method}({self._arguments(asked.arguments)})"

    def value(self, raw: bytes) -> str:
        """An encoded value, shortened; empty for None and for nothing."""
        value = _decoded(raw)
        return "" if value is None else self._shown(value)

    def rows(self, nodes: list[CallNode]) -> Iterator[str]:
        """The tree below the line that says how it ended."""
        rows: list[tuple[str, CallNode]] = []
        for place, node in enumerate(nodes, 1):
            is_last = place == len(nodes)
            rows.append(self._row("└─ " if is_last else "├─ ", node))
            rows += self._below(node, "   " if is_last else "│  ")
        width = min(max(LEFT_COLUMN, *(len(left) + 1 for left, _ in rows)), WIDEST_LEFT_COLUMN)
        for left, node in rows:
            gas = f"{node.gas:>{GAS_COLUMN},}" if node.gas else ""
            yield f"{left:<{width}} {self.outcome(node):<{OUTCOME_COLUMN}}{gas}".rstrip()

    def _below(self, node: CallNode, indent: str) -> Iterator[tuple[str, CallNode]]:
        siblings = node.parent.children if node.parent is not None else []
        children = [child for child in node.children if child.undoes is None]
        # What undoes a call was made by its caller, and is told below what it undoes.
        children += [sibling for sibling in siblings if sibling.undoes is node]
        for place, child in enumerate(children, 1):
            is_last = place == len(children)
            arrow = "→" if child.crossing is None or _stays(child) else "⇢"
            yield self._row(f"{indent}{'└' if is_last else '├'}{arrow} ", child)
            yield from self._below(child, indent + ("   " if is_last else "│  "))

    def _row(self, prefix: str, node: CallNode) -> tuple[str, CallNode]:
        where = f"s{node.asked.shard}" if node.height is None else f"s{node.asked.shard}@h{node.height}"
        left = f"{prefix}{where} {self.signature(node.asked)}"
        if node.parent is not None and node.undoes is None and node.latency_ms is not None:
            left += f"  +{node.latency_ms} ms"
        return left, node

    def outcome(self, node: CallNode) -> str:
        """How a call stands, in a few words."""
        if node.outcome == STARVED:
            return "out of gas; top it up"
        if node.outcome in OPEN:
            return node.outcome
        if node.outcome == OK:
            if node.undoes is not None:
                return "ok (compensation)"
            shown = self.value(node.result)
            return f"ok → {shown}" if shown else "ok"
        if node.cause() is not None:
            return f"aborted  {place_of(node)}".rstrip()
        return node.error

    def failure(self, node: CallNode) -> list[str]:
        """One traceback over all hops, and the error it began with."""
        origin = node.origin()
        lines = traceback_lines(node)
        text = f"{origin.error}: {origin.message}" if origin.message else origin.error
        return (["Traceback (contract, caller first):", *lines] if lines else []) + [text]

    def _arguments(self, raw: bytes) -> str:
        values = _decoded(raw)
        shown = ", ".join(map(self._shown, values)) if isinstance(values, list) else "…" if raw else ""
        return shown if len(shown) <= MAX_ARGUMENTS else shown[: MAX_ARGUMENTS - 1] + "…"

    def _shown(self, value: Value) -> str:
        if isinstance(value, str) and value in self._names:
            return self._names[value]
        text = literal(value)
        return text if len(text) <= MAX_ARGUMENT else f"{text[: MAX_ARGUMENT - 2]}…{text[-1]}"


def place_of(node: CallNode) -> str:
    """File and line of the innermost frame in the call's own contract: `shop.py:14`."""
    mark = f" · {node.asked.contract}.py:"
    cause = node.cause()
    own = node.traceback
    if cause is not None and cause.traceback and own.endswith(cause.traceback):
        own = own[: len(own) - len(cause.traceback)]
    numbers = [line.partition(mark)[2].partition(" ")[0] for line in own.splitlines() if mark in line]
    return f"{node.asked.contract}.py:{numbers[-1]}" if numbers else ""


def literal(value: Value) -> str:
    """A value as Python would read it, with double quotes."""
    match value:
        case str():
            quoted = repr(value)
            return quoted if '"' in value or "\\" in quoted else f'"{quoted[1:-1]}"'
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
        case Decimal():
            return f"Decimal('{value}')"
        case _:
            return repr(value)


def _stays(node: CallNode) -> bool:
    return node.crossing is not None and node.crossing.source == node.crossing.destination


def _decoded(raw: bytes) -> Value:
    try:
        return read(raw) if raw else None
    except BadValue:
        return "(unreadable)"
