"""Errors say whose fault it is, and our own checks cannot be switched off."""

import subprocess
import sys

import pytest

from primitives.errors import InvariantViolated, NotYet, OstrakaError, Refused, invariant


def test_a_refusal_has_a_code_for_machines_and_a_detail_for_people() -> None:
    refusal = Refused("nonce_gap", "expected nonce 4, got 7; send 4 to 6 first")
    assert (refusal.code, refusal.detail) == ("nonce_gap", "expected nonce 4, got 7; send 4 to 6 first")
    assert str(refusal) == "nonce_gap: expected nonce 4, got 7; send 4 to 6 first"


def test_no_kind_of_error_passes_for_another() -> None:
    kinds = (Refused, NotYet, InvariantViolated)
    for kind in kinds:
        assert issubclass(kind, OstrakaError)
        assert not any(issubclass(kind, other) for other in kinds if other is not kind)


def test_an_invariant_stops_only_when_it_does_not_hold() -> None:
    invariant(True, "holds")
    with pytest.raises(InvariantViolated, match="does not hold"):
        invariant(False, "does not hold")


@pytest.mark.parametrize("flags", [[], ["-O"], ["-OO"]])
def test_invariants_survive_optimisation(flags: list[str]) -> None:
    program = "from primitives.errors import invariant; assert not __debug__ or True; invariant(1 > 2, 'still checked')"
    run = subprocess.run([sys.executable, *flags, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "InvariantViolated: still checked" in run.stderr
