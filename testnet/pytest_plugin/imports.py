"""How a test run imports Ostraka: from its own folder, and as it is.

pytest rewrites the `assert`s of every package that is installed beside a plugin. Ostraka has none to rewrite, and
parsing and compiling it anew takes longer than a project's first tests. And a folder of a project that is called like
one of our packages, such as `contracts`, comes first on the path as soon as it has an `__init__.py`.
"""

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

PACKAGES: Final = frozenset({"primitives", "consensus", "contracts", "ostraka_contract", "shards", "relay", "testnet"})
"""All that the distribution has at its top."""

ROOT: Final = Path(__file__).parents[2]
"""Where they are."""


class OwnPackages(MetaPathFinder):
    """Finds our packages before others are asked, and leaves everything else to them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        top, _, inner = fullname.partition(".")
        if top not in PACKAGES:
            return None
        return PathFinder.find_spec(fullname, path if inner else [str(ROOT)], target)
