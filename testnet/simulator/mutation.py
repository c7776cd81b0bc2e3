"""How bugs are planted: a mutant rewrites a few words of production functions, in memory, for the time of a `with`.

A mutant whose words are not found any more fails loudly: production code has changed, and it must be planted anew.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from types import CodeType, ModuleType
from typing import Any, NamedTuple, Protocol

from primitives.errors import invariant
from testnet.simulator.settings import SimulationSettings


class Rewrite(NamedTuple):
    """Where (`module:function` or `module:Class.method`), the words to replace, and what they become."""

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    rewrites: tuple[Rewrite, ...]
    settings: SimulationSettings
    """Where it shows; the seed is the witness's."""


@dataclass(frozen=True, slots=True)
class Witness:
    """A run that catches a mutant, and the invariant that it is caught by."""

    mutant: Mutant
    seed: int
    invariant: str

    @property
    def settings(self) -> SimulationSettings:
        """The run. Cheap signatures whatever the seed: how they are made is not what is tested."""
        return replace(self.mutant.settings, seed=self.seed, real_signatures=False)


class Plantable(Protocol):
    """Anything that says which words of production code to replace."""

    @property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """The replacements."""


@contextmanager
def planted(mutant: Plantable) -> Iterator[None]:
    """Production code with this bug in it."""
    with ExitStack() as stack:
        for where in dict.fromkeys(rewrite.where for rewrite in mutant.rewrites):
            stack.enter_context(_rewritten(where, [each for each in mutant.rewrites if each.where == where]))
        yield


@contextmanager
def _rewritten(where: str, rewrites: list[Rewrite]) -> Iterator[None]:
    module_name, _, path = where.partition(":")
    module = import_module(module_name)
    *owners, name = path.split(".")
    owner: Any = module
    for each in owners:
        owner = getattr(owner, each)
    raw = inspect.getattr_static(owner, name)
    function = raw.__func__ if isinstance(raw, staticmethod) else raw
    # The code object is what every reference to a function shares, however it was imported.
    before = function.__code__
    function.__code__ = _compile(module, function, rewrites)
    try:
        yield
    finally:
        function.__code__ = before


def _compile(module: ModuleType, function: Any, rewrites: list[Rewrite]) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    for where, old, new in rewrites:
        invariant(source.count(old) == 1, f"{where} must contain {old!r} exactly once")
        source = source.replace(old, new)
    # Without its decorators: the code object below them is what is exchanged.
    source = source[source.index("def ") :]
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{function.__qualname__}, mutated>", "exec"), module.__dict__, scope)  # noqa: S102 - our own source
    mutated: CodeType = scope[function.__name__].__code__
    invariant(mutated.co_freevars == function.__code__.co_freevars, f"{function.__qualname__} must not be a closure")
    return mutated
