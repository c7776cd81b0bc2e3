"""The results file of a sweep: JSON lines, one header and then one line for each seed, appended as seeds end.

A sweep that was stopped goes on where it was: seeds that are in the file are not run again. A last line that was
broken off, by a power cut or a kill, is cut off. The header names the code and the kind of sweep; results of another
code or kind are not mixed with these.
"""

from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Literal, Self

import msgspec

from primitives.errors import Refused
from testnet.sweep.jobs import SeedResult

_ROOT: Final = Path(__file__).parents[2]
_CODE: Final = ("primitives", "consensus", "contracts", "ostraka_contract", "shards", "relay", "testnet/simulator")


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of the file."""

    format: Literal["ostraka-sweep-1"] = "ostraka-sweep-1"
    code: str
    """Hash of the source of what is simulated and of the simulator."""
    seconds: int
    contracts_permille: int


_header: Final = msgspec.json.Decoder(Header)
_result: Final = msgspec.json.Decoder(SeedResult)
_encode: Final = msgspec.json.Encoder().encode


def code_hash() -> str:
    """Hash of the source that a sweep says something about."""
    state = sha256()
    for folder in _CODE:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            state.update(f"{path.relative_to(_ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return state.hexdigest()[:16]


class ResultsFile:
    """A results file that is open for the time of a `with`."""

    def __init__(self, path: Path | None, header: Header) -> None:
        """Without a path nothing is kept."""
        self._path = path
        self._header = header
        self._file: BinaryIO | None = None
        self.results: dict[int, SeedResult] = {}
        """By seed; what the file had when it was opened, and what was added since."""

    def __enter__(self) -> Self:
        """Open, read what is there and cut off a broken last line.

        Raises:
            Refused: `other_sweep` or `bad_results`.

        """
        if self._path is None:
            return self
        whole, _, broken = (self._path.read_bytes() if self._path.exists() else b"").rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        self._read(lines)
        self._file = self._path.open("ab")
        if broken:
            self._file.truncate(len(whole) + 1 if lines else 0)
        if not lines:
            self._write(self._header)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def add(self, result: SeedResult) -> None:
        """Append a seed's result."""
        self.results[result.seed] = result
        self._write(result)

    def _write(self, record: msgspec.Struct) -> None:
        if self._file is not None:
            self._file.write(_encode(record) + b"\n")
            self._file.flush()

    def _read(self, lines: list[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    self._check(_header.decode(line))
                else:
                    result = _result.decode(line)
                    self.results[result.seed] = result
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Refused(
                    "bad_results", f"{self._path}, line {number}: no result of a sweep ({error}); name another file"
                ) from None

    def _check(self, found: Header) -> None:
        if found != self._header:
            what = "the code was changed since" if found.code != self._header.code else "it is of other settings"
            raise Refused("other_sweep", f"{self._path} is of another sweep: {what}; name another file")
