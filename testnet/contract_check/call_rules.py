"""Rules about calls, awaits, locks and views."""

import ast
from typing import Final

from contracts.gas import MESSAGE_GAS, MIN_CALL_GAS
from contracts.limits import MAX_CALL_GAS, MAX_DEADLINE_MS
from contracts.outcomes import CONTRACT_NAME
from testnet.contract_check.findings import Severity
from testnet.contract_check.source import Function, Source, walk_function

CALL_KEYWORDS: Final = {"value", "gas", "deadline", "patience"}
GATHER_KEYWORDS: Final = {"return_exceptions"}

PLAIN: Final = {"get", "put", "delete", "keys", "transfer", "emit", "self_balance"}
"""What answers at once, so that there is nothing to await."""

EFFECTS: Final = {"put": "writes", "delete": "writes", "transfer": "pays", "emit": "emits", "call": "calls",
                  "lock": "locks"}  # fmt: skip
"""What a view cannot do."""

BROAD: Final = {"Exception", "BaseException", "ContractError"}


def check_calls(source: Source) -> None:
    """Apply all rules of this module."""
    for node in ast.walk(source.tree):
        api = source.api_call(node)
        if isinstance(node, ast.Call) and api == "call":
            _check_arguments(source, node)
            _check_use(source, node)
        elif isinstance(node, ast.Call) and api == "gather":
            _check_keywords(source, node, "gather", GATHER_KEYWORDS)
        elif isinstance(node, ast.Call) and api == "lock":
            _check_lock(source, node)
        elif isinstance(node, ast.Await):
            _check_await(source, node)
        elif isinstance(node, ast.Expr):
            _check_forgotten(source, node)
        elif isinstance(node, ast.Try):
            _check_handlers(source, node)
    for function in source.functions.values():
        if source.is_view(function):
            _check_view(source, function, function, frozenset())


def _check_keywords(source: Source, node: ast.Call, name: str, known: set[str]) -> None:
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in known:
            hint = f"it takes {', '.join(sorted(known))}; arguments of the method go by position"
            text = f"{name}() has no keyword {keyword.arg!r}"
            source.report(keyword.value, "keyword", Severity.ERROR, text, hint)


def _check_arguments(source: Source, node: ast.Call) -> None:
    _check_keywords(source, node, "call", CALL_KEYWORDS)
    starred = any(isinstance(argument, ast.Starred) for argument in node.args[:3])
    if not starred and len(node.args) < 3:
        text = "call(shard, contract, method, *args) takes at least three arguments"
        source.report(node, "call-arguments", Severity.ERROR, text)
        return
    shard, contract, method = (_constant(argument) for argument in node.args[:3]) if not starred else (None,) * 3
    problem = ""
    if shard is not None and (type(shard) is not int or shard < 0):
        problem = f"a shard is a number from 0, not {shard!r}"
    elif isinstance(contract, str) and method != "" and not CONTRACT_NAME.fullmatch(contract):
        problem = f"{contract!r} is no contract's name: {CONTRACT_NAME.pattern}"
    elif isinstance(method, str) and (method in {"init", "migrate"} or method.startswith("_")):
        problem = f"{method!r} cannot be called: it is private, or run by deploying and upgrading only"
    bounds = {
        "gas": (MIN_CALL_GAS if method else MESSAGE_GAS, MAX_CALL_GAS),
        "deadline": (0, MAX_DEADLINE_MS // 1000),
        "patience": (0, MAX_DEADLINE_MS // 1000),
        "value": (0, 1 << 128),
    }
    for keyword in node.keywords:
        amount, (least, most) = _constant(keyword.value), bounds.get(keyword.arg or "", (0, 0))
        if keyword.arg in bounds and amount is not None and not (type(amount) is int and least <= amount <= most):
            problem = f"{keyword.arg} is an int from {least} to {most}, not {amount!r}"
    if problem:
        source.report(node, "call-arguments", Severity.ERROR, problem)


def _constant(node: ast.expr) -> object:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if isinstance(node.operand.value, int | float) else None
    return node.value if isinstance(node, ast.Constant) else None


def _check_use(source: Source, node: ast.Call) -> None:
    """A call's result is there only once it is awaited."""
    parent = source.parents[node]
    returned = isinstance(parent, ast.Return) and source.is_method(source.function_around(node))
    computed = isinstance(parent, ast.BinOp | ast.Compare | ast.FormattedValue | ast.BoolOp | ast.UnaryOp | ast.If)
    taken = isinstance(parent, ast.Subscript | ast.Attribute) and parent.value is node
    kept = source.api_call(parent) in {"put", "emit", "transfer", "call"}
    if returned or computed or taken or kept:
        text = "the result of call(...) is not there before it is awaited"
        source.report(node, "missing-await", Severity.ERROR, text, "await call(...)")


def _check_forgotten(source: Source, node: ast.Expr) -> None:
    own = source.own_function(node.value)
    if isinstance(own, ast.AsyncFunctionDef):
        text = f"{own.name}() is a coroutine and does not run unless it is awaited"
        source.report(node, "missing-await", Severity.ERROR, text, f"await {own.name}(...), or gather(...)")
    elif source.api_call(node.value) == "gather":
        source.report(node, "missing-await", Severity.ERROR, "gather(...) does nothing unless it is awaited")
    elif source.api_call(node.value) == "call":
        text = "this call is not awaited: it happens all the same, and nobody hears how it ended"
        source.report(node, "not-awaited", Severity.NOTE, text, "await it, unless that is meant")


def _check_await(source: Source, node: ast.Await) -> None:
    value = node.value
    api, own = source.api_call(value), source.own_function(value)
    what = ""
    if api in PLAIN:
        what = f"{api}() answers at once"
    elif api == "lock":
        what = "a lock is entered by `async with lock(...):`"
    elif isinstance(own, ast.FunctionDef) and not _may_return_awaitable(source, own):
        what = f"{own.name}() is no coroutine"
    elif isinstance(value, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.ListComp | ast.GeneratorExp):
        what = "this is no awaitable; gather(*calls) awaits several"
    if what:
        source.report(node, "await", Severity.ERROR, f"nothing to await: {what}")


def _may_return_awaitable(source: Source, function: ast.FunctionDef) -> bool:
    returned = [node.value for node in walk_function(function) if isinstance(node, ast.Return) and node.value]
    return any(not isinstance(value, ast.Constant) and source.api_call(value) not in PLAIN for value in returned)


def _check_lock(source: Source, node: ast.Call) -> None:
    parent = source.parents[node]
    entered = isinstance(parent, ast.withitem) and isinstance(source.parents[parent], ast.AsyncWith)
    awaited = isinstance(parent, ast.Await)  # has its own finding
    if not (entered or awaited or isinstance(parent, ast.Assign | ast.Return)):
        text = "a lock guards nothing unless it is entered"
        source.report(node, "lock", Severity.ERROR, text, "async with lock(key):")


def _check_handlers(source: Source, node: ast.Try) -> None:
    if not any(isinstance(child, ast.Await) for statement in node.body for child in ast.walk(statement)):
        return
    for handler in node.handlers:
        names = _caught(handler)
        if "OutcomeUnknown" in names:
            return
        if BROAD & names and not _raises(handler.body):
            text = f"{'except' if handler.type is None else 'except ' + ast.unparse(handler.type)} around an await"
            source.report(
                handler,
                "broad-except",
                Severity.WARNING,
                f"{text} also catches OutcomeUnknown, of a call that may still happen",
                "catch CallFailed; or let `except OutcomeUnknown:` stand before it",
            )


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {"BaseException"}
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(item).rpartition(".")[2] for item in types}


def _raises(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Raise)


def _check_view(source: Source, view: Function, function: Function, seen: frozenset[str]) -> None:
    for node in walk_function(function):
        api = source.api_call(node)
        if api in EFFECTS:
            via = "" if function is view else f" through {function.name}()"
            text = f"{view.name} is a view and {EFFECTS[api]} here{via}, which is refused"
            source.report(node, "view", Severity.ERROR, text, "remove @view, or the effect")
        own = source.own_function(node)
        if own is not None and own.name not in seen and own is not view:
            _check_view(source, view, own, seen | {own.name})
