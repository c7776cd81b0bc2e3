"""The results file of a sweep: JSON lines, one header and then one line for each seed, appended as seeds end.

A sweep that was stopped goes on where it was: seeds that are in the file are not run again. A last line that was
broken off, by a power cut or a kill, is cut off. The header names the code and the kind of sweep; results of another
code or kind are not mixed with these. Other long work keeps its records alike (`RecordsFile`).
"""

from collections.abc import Callable, Hashable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Generic, Literal, Self, TypeVar

import msgspec

from primitives.errors import Refused
from testnet.sweep.jobs import SeedResult

_ROOT: Final = Path(__file__).parents[2]
_CODE: Final = ("primitives", "consensus", "contracts", "ostraka_contract", "shards", "relay", "testnet/simulator")


class CodeHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of any such file."""

    code: str
    """Hash of the source that the records say something about."""


class Header(CodeHeader, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of a sweep's file."""

    format: Literal["ostraka-sweep-1"] = "ostraka-sweep-1"
    seconds: int
    contracts_permille: int


Head = TypeVar("Head", bound=CodeHeader)
Record = TypeVar("Record", bound=msgspec.Struct)
Key = TypeVar("Key", bound=Hashable)

_encode: Final = msgspec.json.Encoder().encode


def code_hash(*more: str) -> str:
    """Hash of the source that a sweep says something about, and of the folders named beside."""
    state = sha256()
    for folder in (*_CODE, *more):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            state.update(f"{path.relative_to(_ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return state.hexdigest()[:16]


class RecordsFile(Generic[Head, Record, Key]):
    """A file of records that is open for the time of a `with`."""

    def __init__(
        self, path: Path | None, header: Head, record: type[Record], key: Callable[[Record], Key], of: str
    ) -> None:
        """Without a path nothing is kept; `of` is the word for what the records are of."""
        self._path = path
        self._header = header
        self._key = key
        self._of = of
        self._decode_header = msgspec.json.Decoder(type(header)).decode
        self._decode = msgspec.json.Decoder(record).decode
        self._file: BinaryIO | None = None
        self.results: dict[Key, Record] = {}
        """What the file had when it was opened, and what was added since."""

    def __enter__(self) -> Self:
        """Open, read what is there and cut off a broken last line.

        Raises:
            Refused: `other_results` or `bad_results`.

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

    def add(self, result: Record) -> None:
        """Append a record."""
        self.results[self._key(result)] = result
        self._write(result)

    def _write(self, record: msgspec.Struct) -> None:
        if self._file is not None:
            self._file.write(_encode(record) + b"\n")
            self._file.flush()

    def _read(self, lines: list[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                if number == 1:
                    self._check(self._decode_header(line))
                else:
                    result = self._decode(line)
                    self.results[self._key(result)] = result
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Refused(
                    "bad_results",
                    f"{self._path}, line {number}: no result of a {self._of} ({error}); name another file",
                ) from None

    def _check(self, found: Head) -> None:
        if found != self._header:
            what = "the code was changed since" if found.code != self._header.code else "it is of other settings"
            raise Refused("other_results", f"{self._path} is of another {self._of}: {what}; name another file")


class ResultsFile(RecordsFile[Header, SeedResult, int]):
    """Results of a sweep, by seed."""

    def __init__(self, path: Path | None, header: Header) -> None:
        """Without a path nothing is kept."""
        super().__init__(path, header, SeedResult, lambda result: result.seed, "sweep")
