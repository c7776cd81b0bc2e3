"""Follows a method from await to await, through branches, loops, handlers and the module's own helpers.

Two rules need it. `stale-write`: a key was read before an await and is written after it without being read again; other
calls may have changed it in between. `undone-by-raise`: a stretch between two awaits is undone by a raise, so what it
wrote on a path that always ends in `raise` is lost.

Every statement is gone through with what is known there (`State`): a loop's body twice, a handler with what
holds before or after any statement of its `try`, a helper where it is called. Keys are compared as the source spells
them; where that is not known, nothing is said.
"""

import ast
from dataclasses import dataclass, field

from testnet.contract_check.findings import Severity
from testnet.contract_check.flow_state import NOTHING, Effect, State, Value, join
from testnet.contract_check.flow_values import Values, union
from testnet.contract_check.source import Function, Source

MAX_STEPS = 5_000
"""Statements looked at in one method; beyond it, nothing more is said. The longest example takes a few hundred."""

MAX_DEPTH = 4
"""Helpers that call helpers."""


@dataclass
class Frame:
    """One function that is being followed."""

    function: Function
    returns: list[State] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    breaks: list[list[State]] = field(default_factory=list)
    continues: list[list[State]] = field(default_factory=list)


class Flow(Values):
    """Follows the methods of one source."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.raised: dict[Effect, int] = {}
        """Effects that are undone on some path, with the line of the raise."""
        self._frames: list[Frame] = []
        self._handlers: list[list[State]] = []
        """For each `try` around the statement: the states that its handlers may be entered with."""
        self._steps = 0

    def check(self, method: Function) -> None:
        """Follow a method that is called from outside."""
        self._steps = 0
        end, _ = self.follow(method, State(), {}, method.lineno)
        if end is not None:
            self.kept |= end.pending

    def follow(
        self, function: Function, state: State, given: dict[str, Value], line: int
    ) -> tuple[State | None, Value]:
        """See `Values.follow`."""
        if len(self._frames) > MAX_DEPTH or any(frame.function is function for frame in self._frames):
            if isinstance(function, ast.AsyncFunctionDef):
                self.kept |= state.pending
                state.suspend(line)
            return state, NOTHING
        frame = Frame(function)
        self._frames.append(frame)
        parameters = function.args
        state.names = {
            parameter.arg: given.get(parameter.arg) or self.unknown(parameter.arg)
            for parameter in (*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs)
        }
        end = join([self._block(function.body, state), *frame.returns])
        self._frames.pop()
        symbols = {value.symbol for value in frame.values}
        return end, Value(union(frame.values), symbols.pop() if len(symbols) == 1 else "")

    def _block(self, body: list[ast.stmt], state: State | None) -> State | None:
        for statement in body:
            self._steps += 1
            if state is None or self._steps > MAX_STEPS:
                return None
            state = self._statement(statement, state)
            if self._handlers and state is not None:
                # Its exceptions find the state before it, which is here already, or the one after it.
                self._handlers[-1].append(state.copy())
        return state

    def _statement(self, node: ast.stmt, state: State) -> State | None:
        match node:
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                self._leave(node, state)
                return None
            case ast.If():
                self.value(node.test, state)
                other = state.copy()
                return join([self._block(node.body, state), self._block(node.orelse, other)])
            case ast.For() | ast.While() | ast.AsyncFor():
                return self._loop(node, state)
            case ast.Try():
                return self._try(node, state)
            case ast.With() | ast.AsyncWith():
                return self._with(node, state)
            case ast.Match():
                self.value(node.subject, state)
                return join([*(self._block(case.body, state.copy()) for case in node.cases), state])
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.local[node.name] = node
            case _:
                self._simple(node, state)
        return state

    def _leave(self, node: ast.Return | ast.Raise | ast.Break | ast.Continue, state: State) -> None:
        frame = self._frames[-1]
        match node:
            case ast.Return():
                frame.values.append(self.value(node.value, state))
                frame.returns.append(state)
                if self._handlers:
                    self._handlers[-1].append(state.copy())  # what is returned may be an await that raises
            case ast.Raise():
                self.value(node.exc, state)
                for effect in state.pending:
                    self.raised.setdefault(effect, node.lineno)
            case ast.Break():
                frame.breaks[-1].append(state)
            case ast.Continue():
                frame.continues[-1].append(state)

    def _simple(self, node: ast.stmt, state: State) -> None:
        match node:
            case ast.Assign():
                value = self.value(node.value, state)
                for target in node.targets:
                    self.bind(target, value, state)
            case ast.AnnAssign():
                if node.value is not None:
                    self.bind(node.target, self.value(node.value, state), state)
            case ast.AugAssign():
                self.bind(node.target, Value(union(self.values([node.target, node.value], state))), state)
            case ast.ClassDef():
                pass
            case _:
                self.values(ast.iter_child_nodes(node), state)

    def _loop(self, node: ast.For | ast.While | ast.AsyncFor, state: State) -> State | None:
        frame = self._frames[-1]
        items = NOTHING if isinstance(node, ast.While) else self.value(node.iter, state)
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        exits: list[State | None] = []
        current: State | None = state
        for _ in range(2):  # what the first turn leaves behind, the second one finds
            if current is None:
                break
            if isinstance(node, ast.While):
                self.value(node.test, current)
            exits.extend([] if endless else [current.copy()])
            if not isinstance(node, ast.While):
                self.bind(node.target, Value(items.reads), current)
            frame.breaks.append([])
            frame.continues.append([])
            end = self._block(node.body, current)
            exits.extend(frame.breaks.pop())
            current = join([end, *frame.continues.pop()])
        exits.extend([] if endless else [current])
        return self._block(node.orelse, join(exits))

    def _try(self, node: ast.Try, state: State) -> State | None:
        entered = [state.copy()]
        self._handlers.append(entered)
        end = self._block(node.body, state)
        self._handlers.pop()
        if not node.handlers and self._handlers:
            self._handlers[-1].extend(each.copy() for each in entered)
        ends = [self._block(node.orelse, end)]
        ends.extend(self._block(handler.body, join(entered)) for handler in node.handlers)
        joined = join(ends)
        if joined is None:
            # Every way out returns or raises; `finally` is passed through all the same.
            self._block(node.finalbody, join(entered))
            return None
        return self._block(node.finalbody, joined)

    def _with(self, node: ast.With | ast.AsyncWith, state: State) -> State | None:
        locks = 0
        for item in node.items:
            value = self.value(item.context_expr, state)
            locks += self.source.api_call(item.context_expr) == "lock"
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, state)
        state.locks += locks
        end = self._block(node.body, state)
        if end is not None:
            end.locks -= locks
        return end


@dataclass(frozen=True)
class Place:
    """A place to report at, where the node itself is no longer at hand."""

    lineno: int
    col_offset: int


def check_flow(source: Source) -> None:
    """Apply both rules."""
    flow = Flow(source)
    for function in source.functions.values():
        if source.is_method(function):
            flow.check(function)
    for (line, column), (key, read) in sorted(flow.stale.items()):
        text = (
            f"{key} is written here, was read in line {read.line}, and an await lies between (line {read.stale_since})"
        )
        hint = "other calls may have changed it since: read it again after the await, or hold a lock"
        source.report(Place(line, column), "stale-write", Severity.WARNING, text, hint)
    for effect, raised_at in sorted(flow.raised.items(), key=lambda item: (item[0].line, item[0].column)):
        if effect not in flow.kept:
            place = Place(effect.line, effect.column)
            text = f"this {effect.verb} is undone by the raise in line {raised_at}, which ends the same stretch"
            hint = "do it before an await, which commits it; or return what happened instead of raising"
            source.report(place, "undone-by-raise", Severity.WARNING, text, hint)
