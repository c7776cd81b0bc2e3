"""A contract's source as the rules see it: the tree, who is whose parent, and what the API's names are called here."""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from testnet.contract_check.findings import Finding, Severity

PACKAGE = "ostraka_contract"

Function = ast.FunctionDef | ast.AsyncFunctionDef

_IGNORE = re.compile(r"#\s*check:\s*ignore\[([\w\s,-]+)\]")


class Source:
    """One file."""

    def __init__(self, path: Path, text: str, tree: ast.Module) -> None:
        self.path = path
        self.text = text
        self.tree = tree
        self.found: list[Finding] = []

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """The node around each node."""
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Functions at the top of the module; the last of a name counts, as in Python."""
        return {node.name: node for node in self.tree.body if isinstance(node, Function)}

    @cached_property
    def _aliases(self) -> tuple[dict[str, str], set[str]]:
        """Local name of each API function that was imported, and local names of the package itself."""
        functions: dict[str, str] = {}
        packages: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                for alias in node.names:
                    names = EXPORTED if alias.name == "*" else {alias.asname or alias.name: alias.name}
                    functions.update(names)
            elif isinstance(node, ast.Import):
                packages.update(alias.asname or alias.name for alias in node.names if alias.name == PACKAGE)
        return functions, packages

    def api_name(self, node: ast.AST) -> str:
        """The API's name for what this expression refers to, such as "put"; empty when it is not of the API."""
        functions, packages = self._aliases
        if isinstance(node, ast.Name):
            return functions.get(node.id, "")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in packages:
            return node.attr
        return ""

    def api_call(self, node: ast.AST) -> str:
        """The API's name for the function that is called here; empty for any other node."""
        return self.api_name(node.func) if isinstance(node, ast.Call) else ""

    def own_function(self, node: ast.AST) -> Function | None:
        """The module's own function that is called here."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self.functions.get(node.func.id)
        return None

    def function_around(self, node: ast.AST) -> Function | None:
        """The innermost function that a node is in."""
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, Function):
            parent = self.parents.get(parent)
        return parent

    def is_view(self, function: Function) -> bool:
        """Whether the machine treats it as a view: it is marked so."""
        return any(ast.unparse(mark).rpartition(".")[2] == "view" for mark in function.decorator_list)

    def is_method(self, function: Function | None) -> bool:
        """Whether it can be called from outside, or is run by deploying or upgrading."""
        return function is not None and self.functions.get(function.name) is function and function.name[0] != "_"

    def report(self, node: object, code: str, severity: Severity, message: str, hint: str = "") -> None:
        """Note a finding, unless the line says that it is known."""
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
        ignored = _IGNORE.search(self.text.split("\n")[line - 1]) if line else None
        if ignored is None or code not in re.split(r"[\s,]+", ignored[1].strip()):
            self.found.append(Finding(self.path, line, column, code, severity, message, hint))


EXPORTED = {
    name: name
    for name in ("block", "call", "delete", "emit", "gather", "get", "keys", "lock", "msg", "put", "self_balance",
                 "transfer", "view", "CallFailed", "ContractError", "LeaseLost", "Locked", "OutcomeUnknown")
}  # fmt: skip
"""What `from ostraka_contract import *` brings, as far as the rules ask for it."""


def walk_function(function: Function) -> Iterator[ast.AST]:
    """All nodes of a function's body, without those of functions inside of it."""
    pending: list[ast.AST] = [*function.body]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
