"""All targets, by name."""

from collections.abc import Mapping
from typing import Final

from fuzz.target import Target
from fuzz.targets import contracts, files, http, ledger, links

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target
    for target in (*links.TARGETS, *ledger.TARGETS, *contracts.TARGETS, *http.TARGETS, *files.TARGETS)
}
