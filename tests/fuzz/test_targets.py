"""Hostile bytes, briefly: every target takes its samples, every kept crasher stays mended, and mutations break nothing.

`make fuzz` does the same for long.
"""

from pathlib import Path

import msgspec
import pytest

from fuzz.campaign import Crash, attempt, campaign, cases, keep, minimised, share_of
from fuzz.mutator import MAX_BYTES, Mutator
from fuzz.target import Broken, Target, TooSlow, Verdict, judge, must
from fuzz.targets import TARGETS, links
from primitives.errors import InvariantViolated, Refused
from shards.messages import message_decoder

INPUTS = 4_000
"""For each target; half a minute in all."""

CASES = list(cases())


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_samples(name: str) -> None:
    target = TARGETS[name]
    assert target.samples()
    for raw in target.samples():
        target.read(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_a_target(name: str) -> None:
    target = TARGETS[name]
    tally = campaign(target, seed=20, inputs=share_of(target, INPUTS))
    assert tally.crash is None
    assert tally.inputs == share_of(target, INPUTS)


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name}/{path.name}" for name, path in CASES])
def test_what_broke_a_target_once_does_not_any_more(name: str, path: Path) -> None:
    assert isinstance(attempt(TARGETS[name], path.read_bytes()), Verdict)


def test_inputs_depend_on_seed_and_number_alone() -> None:
    target = TARGETS["bundle"]
    one, other = Mutator(target, 1), Mutator(target, 1)
    backwards = [other.input(index) for index in reversed(range(200))]
    assert [one.input(index) for index in range(200)] == backwards[::-1]
    assert [Mutator(target, 2).input(index) for index in range(200)] != backwards[::-1]
    assert all(len(raw) <= MAX_BYTES for raw in backwards)


@pytest.mark.parametrize("name", ["consensus-message", "transaction", "bundle", "message-proof", "contract-value"])
def test_many_mutations_get_past_the_decoder_changed(name: str) -> None:
    """Otherwise nothing but the decoder would be tried."""
    target = TARGETS[name]
    mutator = Mutator(target, 1)
    codes = []
    for index in range(500):
        try:
            target.read(mutator.input(index))
        except Refused as refused:
            codes.append(refused.code)
        except ValueError:
            codes.append("malformed")
    behind = [code for code in codes if code not in {"too_large", "malformed", "not_canonical", "unknown_message"}]
    assert len(behind) + 500 - len(codes) >= 40


# A hole, planted on purpose, is found.


def test_a_certificate_that_is_not_checked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "check_certificate", lambda *_: None)
    found = campaign(TARGETS["commitment-certificate"], seed=1, inputs=2_000).crash
    assert found is not None
    assert "it was changed, and verifies" in found.error


def test_a_bundle_without_its_stream_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.bundles._check_stream", lambda *_: None)
    found = campaign(TARGETS["bundle"], seed=1, inputs=3_000).crash
    assert found is not None
    assert "it was changed, and verifies" in found.error


def test_a_decoder_that_takes_two_forms_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(raw: bytes) -> object:
        try:
            return message_decoder._decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("malformed", str(error)) from None

    monkeypatch.setattr(message_decoder, "decode", decode)
    found = campaign(TARGETS["message"], seed=1, inputs=5_000).crash
    assert found is not None
    assert "a message has two forms" in found.error


def test_a_replica_that_signs_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "conflict", lambda one, other: "always" if one is not other else None)
    found = campaign(TARGETS["consensus-replica"], seed=1, inputs=1_000).crash
    assert found is not None
    assert "it contradicts itself" in found.error


# What a campaign does with what it finds


def read_letters(raw: bytes) -> None:
    if b"q" in raw and b"z" in raw:
        raise ZeroDivisionError("a letter too many")
    if b"!" in raw:
        raise Refused("malformed", "no")
    must(b"?" not in raw, "a question")


LETTERS = Target("letters", read_letters, lambda: [b"some quiet words in a lazy zone", b"abc!"], form="text")


def test_a_refusal_is_no_crash_and_everything_else_is() -> None:
    assert attempt(LETTERS, b"abc") is Verdict.TAKEN
    assert attempt(LETTERS, b"abc!") is Verdict.REFUSED
    assert attempt(LETTERS, b"a?") == Crash("letters", b"a?", "Broken: a question")
    assert attempt(LETTERS, b"qz") == Crash("letters", b"qz", "ZeroDivisionError: a letter too many")


@pytest.mark.parametrize("error", [InvariantViolated("ours"), KeyError("x"), RecursionError(), MemoryError()])
def test_our_own_failures_are_no_refusals(error: Exception) -> None:
    def read(_raw: bytes) -> None:
        raise error

    with pytest.raises(type(error)):
        judge(Target("fails", read, lambda: [b""]), b"")


def test_an_input_that_takes_too_long_is_a_crash() -> None:
    def read(raw: bytes) -> None:
        sorted(raw * 1000)

    slow = Target("slow", read, lambda: [b"x"], slow_s=0.0)
    with pytest.raises(TooSlow, match="slow: 1 bytes took"):
        judge(slow, b"x")


def test_a_campaign_ends_at_the_first_crash_and_cuts_it_down() -> None:
    tally = campaign(LETTERS, seed=1, inputs=100)
    assert tally.inputs == 1
    assert tally.crash is not None
    assert minimised(LETTERS, tally.crash).raw in {b"qz", b"zq"}


def test_a_crasher_is_kept_and_found_again(tmp_path: Path) -> None:
    path = keep(Crash("letters", b"qz", "ZeroDivisionError"), tmp_path)
    assert path.read_bytes() == b"qz"
    assert list(cases(tmp_path)) == [("letters", path)]


def test_every_kept_case_is_one_of_a_target() -> None:
    assert {name for name, _ in CASES} <= set(TARGETS)
    with pytest.raises(Broken):
        must(False, "this is how a property fails")
