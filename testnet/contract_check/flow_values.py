"""The flow rules, inside of one statement: expressions in the order of their evaluation."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable

from testnet.contract_check.flow_state import MAX_SYMBOL, NOTHING, Effect, Key, Read, State, Value, join
from testnet.contract_check.source import Function, Source

VERBS = {"put": "write", "delete": "write", "transfer": "payment", "emit": "event", "call": "call"}

SPELLED = ast.Attribute | ast.JoinedStr | ast.FormattedValue | ast.BinOp | ast.Subscript
"""Expressions that a key may consist of."""


class Values(ABC):
    """Goes through expressions and notes what they read, write and await."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stale: dict[tuple[int, int], tuple[str, Read]] = {}
        """Writes of what is old by now, by their place: the key as it stands there, and the read."""
        self.kept: set[Effect] = set()
        """Effects that are committed on some path."""
        self.local: dict[str, Function] = {}
        """Functions inside of functions."""
        self._fresh = 0
        self._constants = {
            target.id: repr(node.value.value)
            for node in source.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @abstractmethod
    def follow(
        self, function: Function, state: State, given: dict[str, Value], line: int
    ) -> tuple[State | None, Value]:
        """Go through a function of the module, from where it is called; the state and the value it returns with."""

    def unknown(self, name: str) -> Value:
        """A value of which nothing is known but that it is the same wherever this name stands for it."""
        self._fresh += 1
        return Value(symbol=f"{name}#{self._fresh}")

    def bind(self, target: ast.expr, value: Value, state: State) -> None:
        """Assign."""
        match target:
            case ast.Name():
                state.names[target.id] = value if value.symbol else Value(value.reads, self.unknown(target.id).symbol)
            case ast.Tuple() | ast.List():
                for item in target.elts:
                    self.bind(item, Value(value.reads), state)
            case ast.Starred():
                self.bind(target.value, Value(value.reads), state)
            case ast.Subscript() | ast.Attribute():
                self.value(target, state)
                self._take_in(target.value, value, state)
            case _:
                pass

    def value(self, node: ast.expr | None, state: State) -> Value:
        """Evaluate; what is known of the value."""
        match node:
            case None | ast.Lambda():
                return NOTHING
            case ast.Constant():
                return Value(symbol=repr(node.value))
            case ast.Name():
                constant = self._constants.get(node.id, f"{node.id}@module")
                return state.names.get(node.id) or Value(symbol=constant)
            case ast.Await():
                return self._await(node, state)
            case ast.Call():
                return self._call(node, state)
            case ast.NamedExpr():
                value = self.value(node.value, state)
                self.bind(node.target, value, state)
                return value
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, state)
            case _:
                return self._other(node, state)

    def values(self, nodes: Iterable[ast.AST], state: State) -> list[Value]:
        """Evaluate one after the other; an await in a later one makes the earlier ones old."""
        found: list[tuple[Value, int]] = []
        line = 0
        for node in nodes:
            if isinstance(node, ast.expr):
                found.append((self.value(node, state), state.awaits))
                line = node.lineno
        return [state.aged(value, line) if awaits < state.awaits else value for value, awaits in found]

    def _other(self, node: ast.expr, state: State) -> Value:
        """Any other expression: its parts, and a symbol when each of them has one."""
        values = self.values(ast.iter_child_nodes(node), state)
        reads = union(values)
        if not isinstance(node, SPELLED) or not all(value.symbol for value in values):
            return Value(reads)
        parts = ",".join(value.symbol for value in values)
        if isinstance(node, ast.FormattedValue):
            return Value(reads, parts)
        detail = node.attr if isinstance(node, ast.Attribute) else ""
        detail = type(node.op).__name__ if isinstance(node, ast.BinOp) else detail
        symbol = f"{type(node).__name__}{detail}({parts})"
        return Value(reads, symbol if len(symbol) <= MAX_SYMBOL else "")

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, state: State) -> Value:
        for generator in node.generators:
            items = self.value(generator.iter, state)
            self.bind(generator.target, Value(items.reads), state)
            self.values(generator.ifs, state)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return Value(union(self.values(parts, state)))

    def _await(self, node: ast.Await, state: State) -> Value:
        inner = node.value
        own = self._own(inner)
        if isinstance(inner, ast.Call) and own is not None:
            return self._follow(inner, own, state)
        if isinstance(inner, ast.Call) and self.source.api_call(inner) == "gather":
            self._gather(inner, state)
        else:
            self.value(inner, state)
        self.kept |= state.pending
        state.suspend(node.lineno)
        return NOTHING

    def _gather(self, node: ast.Call, state: State) -> None:
        """Coroutines that run beside each other: each is followed from here."""
        ends: list[State | None] = []
        for argument in node.args:
            part = argument.value if isinstance(argument, ast.Starred) else argument
            if isinstance(part, ast.ListComp | ast.GeneratorExp) and self._own(part.elt) is not None:
                for generator in part.generators:
                    self.bind(generator.target, Value(self.value(generator.iter, state).reads), state)
                part = part.elt
            own = self._own(part)
            if isinstance(part, ast.Call) and isinstance(own, ast.AsyncFunctionDef):
                beside = state.copy()
                self._follow(part, own, beside)
                ends.append(beside)
            else:
                self.value(part, state)
        joined = join([state, *ends])
        if joined is not None:
            state.become(joined)

    def _own(self, node: ast.AST) -> Function | None:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self.local.get(node.func.id) or self.source.functions.get(node.func.id)
        return None

    def _call(self, node: ast.Call, state: State) -> Value:
        api, own = self.source.api_call(node), self._own(node)
        if isinstance(own, ast.FunctionDef):
            return self._follow(node, own, state)
        values = self.values([*node.args, *(keyword.value for keyword in node.keywords)], state)
        if api == "get" and values:
            return self._get(node, values, state)
        if api in {"put", "delete"} and values:
            self._write(node, values, state)
        if api in VERBS:
            state.pending.add(Effect(node.lineno, node.col_offset, VERBS[api]))
        if api:
            return NOTHING
        reads = union(values)
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value, state)
            self._take_in(node.func.value, Value(reads), state)
            reads |= owner.reads
        return Value(reads)

    def _get(self, node: ast.Call, values: list[Value], state: State) -> Value:
        key = values[0].symbol
        if not key:
            return Value(union(values))
        read = Read(key, node.lineno, locked=state.locks > 0)
        state.last[key] = frozenset({read})
        return Value(frozenset({read}), self.unknown("get").symbol)

    def _write(self, node: ast.Call, values: list[Value], state: State) -> None:
        key: Key = values[0].symbol
        if not key:
            return
        written = values[1] if len(values) > 1 else NOTHING
        old = {read for read in written.reads if read.key == key and key not in state.deleted}
        for read in sorted(old | state.last.get(key, frozenset()), key=lambda read: read.line):
            if read.stale_since:
                self.stale.setdefault((node.lineno, node.col_offset), (ast.unparse(node.args[0]), read))
        state.write(key, deletes=self.source.api_call(node) == "delete" or written.symbol == "None")

    def _follow(self, node: ast.Call, function: Function, state: State) -> Value:
        names = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
        names = [*names[: len(node.args)], *(keyword.arg or "" for keyword in node.keywords)]
        values = self.values([*node.args, *(keyword.value for keyword in node.keywords)], state)
        end, value = self.follow(function, state.copy(), dict(zip(names, values, strict=False)), node.lineno)
        if end is not None:
            names_here = state.names
            if end.awaits > state.awaits:
                names_here = {name: end.aged(value, node.lineno) for name, value in names_here.items()}
            state.become(end)
            state.names = names_here
        return value

    def _take_in(self, target: ast.expr, value: Value, state: State) -> None:
        """An object has taken something in: an item, an attribute."""
        if isinstance(target, ast.Name) and target.id in state.names:
            mine = state.names[target.id]
            state.names[target.id] = Value(mine.reads | value.reads, mine.symbol)


def union(values: Iterable[Value]) -> frozenset[Read]:
    """What several values were made from."""
    return frozenset[Read]().union(*(value.reads for value in values))
