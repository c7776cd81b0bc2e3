"""Files that people write are read up to a limit, and what is wrong with one is said by name."""

from pathlib import Path

import pytest

from primitives.errors import Refused
from testnet.toml_file import parse_toml, read_toml

LIMIT = 100


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "garden.toml"
    path.write_text("rose = 1\n".ljust(LIMIT))
    assert read_toml(path, "garden", LIMIT) == {"rose": 1}
    path.write_text("rose = 1\n".ljust(LIMIT + 1))
    with pytest.raises(
        Refused, match=r"bad_garden: .*garden\.toml: too long; the file of a garden has at most 100 bytes"
    ):
        read_toml(path, "garden", LIMIT)


def test_what_has_no_end_is_not_read_to_it() -> None:
    with pytest.raises(Refused, match="bad_garden: /dev/zero: too long"):
        read_toml(Path("/dev/zero"), "garden", LIMIT)


def test_what_cannot_be_read_is_said_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no_garden: cannot read the garden .*absent\.toml: No such file"):
        read_toml(tmp_path / "absent.toml", "garden", LIMIT)
    with pytest.raises(Refused, match=r"no_garden: .*Is a directory"):
        read_toml(tmp_path, "garden", LIMIT)


@pytest.mark.parametrize("raw", [b"=", b"\xff\xfe", b"a = 1\na = 2", b"a = " + b"[" * 10_000, b"a = " + b"9" * 5_000])
def test_what_is_not_toml_is_refused_and_never_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(Refused, match=r"bad_garden: garden\.toml: not TOML: "):
        parse_toml(raw, "garden", "garden.toml")
