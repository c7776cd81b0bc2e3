"""Changes samples, at random and yet always alike: input `index` of a target depends on the seed and nothing else.

Half of the changes are blind: bits, bytes, slices, lengths. The others know the form of the sample: it is taken apart,
one value in it is changed, dropped, doubled or replaced by one of another sample, and it is written again in canonical
form; most of those get past the decoder and reach what stands behind it.
"""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fuzz.target import Form, Target

MAX_BYTES: Final = 1 << 16
"""Longer inputs find nothing that shorter ones do not, and take the time of hundreds; caps are tried by tests."""

MAX_STEPS: Final = 4
"""Changes to one sample."""

_NUMBERS: Final = (
    0, 1, 2, 3, 4, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 1023, 1024, 4095, 4096, 65535, 65536,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -1, -32, -33, -128, -129, -(2**63),
)  # fmt: skip
"""Where encodings, caps and integer types change."""

_TEXTS: Final = (
    "", "0", "-1", "1e999", "0x10", "NaN", "\0", "\n", "\ud800", "é", "𝟙", "²", "a" * 300, "{", "[[", "$int", "osk1",
    "..", "%00", "1_0", " 1", "0.0000001", "99999999999999999999", "true", "null", "e", "'", '"', "\\",
    "#", "=", "\u202e",
)  # fmt: skip


_WIDER: Final = {
    **{0x90 | count: bytes((0xDC, 0, count)) for count in range(16)},
    **{0xA0 | count: bytes((0xD9, count)) for count in range(32)},
    0xC4: b"\xc5\0",
    0xCC: b"\xcd\0",
    0xCD: b"\xce\0\0",
    0xCE: b"\xcf\0\0\0\0",
}
"""First byte of MessagePack -> the same in a wider form."""


class Mutator:
    """Makes inputs for one target."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._seed = seed
        self._samples = target.samples()

    def input(self, index: int) -> bytes:
        """The input with this number; the first ones are the samples themselves."""
        if index < len(self._samples):
            return self._samples[index]
        chance = random.Random(f"{self._seed}/{self._target.name}/{index}")
        raw = chance.choice(self._samples)
        for _ in range(chance.randint(1, MAX_STEPS)):
            raw = self.change(raw, chance)
        return raw[:MAX_BYTES]

    def change(self, raw: bytes, chance: random.Random) -> bytes:
        """One change."""
        if self._target.form != "bytes" and chance.random() < 0.6:
            cut = self._target.prefix
            changed = _change_form(raw[cut:], [each[cut:] for each in self._samples], self._target.form, chance)
            if changed is not None:
                return raw[:cut] + changed
        return _change_bytes(raw, self._samples, chance)


def _change_bytes(raw: bytes, samples: Sequence[bytes], chance: random.Random) -> bytes:
    """Change bytes without knowing what they are."""
    at, other = sorted((chance.randint(0, len(raw)), chance.randint(0, len(raw))))
    match chance.randrange(9):
        case 8:
            return _widened(raw, chance)
        case 0 if raw:
            at = min(at, len(raw) - 1)
            return raw[:at] + bytes((raw[at] ^ 1 << chance.randrange(8),)) + raw[at + 1 :]
        case 1:
            return raw[:at] + chance.randbytes(chance.randint(1, 8)) + raw[at:]
        case 2:
            return raw[:at] + raw[other:]
        case 3:
            return raw[:at] + raw[at:other] * 2 + raw[other:]
        case 4:
            return raw[:at]
        case 5:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(_NUMBERS) % (1 << 8 * width)
            return raw[:at] + number.to_bytes(width, "big") + raw[at + width :]
        case 6:
            donor = chance.choice(samples)
            return raw[:at] + donor[chance.randint(0, len(donor)) :]
        case _:
            return raw[:at] + bytes(other - at) + raw[other:]


def _widened(raw: bytes, chance: random.Random) -> bytes:
    """A number or a length of MessagePack in more bytes than it needs: the same value in another form."""
    if not raw:
        return raw
    places = [at for at, byte in enumerate(raw[:2048]) if byte < 0x80 or byte in _WIDER]
    at = chance.choice(places) if places else 0
    return raw[:at] + _WIDER.get(raw[at], bytes((0xCC, raw[at]))) + raw[at + 1 :]


def _change_form(raw: bytes, samples: Sequence[bytes], form: Form, chance: random.Random) -> bytes | None:
    """Change one value of a sample and write it again; None for what cannot be read."""
    tree = _parse(raw, form)
    donor = _parse(chance.choice(samples), form)
    if tree is None:
        return None
    return _write(_changed(tree, donor, chance), form)


def _parse(raw: bytes, form: Form) -> Any:
    try:
        match form:
            case "msgpack":
                return msgspec.msgpack.decode(raw)
            case "json":
                return json.loads(raw)
            case _:
                return raw.decode()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _write(tree: Any, form: Form) -> bytes | None:
    try:
        match form:
            case "msgpack":
                return msgspec.msgpack.encode(tree)
            case "json":
                return json.dumps(tree).encode()
            case _:
                return str(tree).encode("utf-8", "surrogatepass")
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
        return None


def _changed(tree: Any, donor: Any, chance: random.Random) -> Any:
    """The tree with one value changed, somewhere."""
    if isinstance(tree, list) and tree and chance.random() < 0.85:
        place = chance.randrange(len(tree))
        match chance.randrange(12):
            case 0:
                return tree[:place] + tree[place + 1 :]
            case 1:
                return tree[: place + 1] + tree[place:]
            case 2:
                return tree[:place] + tree[place:][::-1]
            case _:
                theirs = donor[place] if isinstance(donor, list) and place < len(donor) else donor
                return [*tree[:place], _changed(tree[place], theirs, chance), *tree[place + 1 :]]
    if isinstance(tree, dict) and tree and chance.random() < 0.85:
        key = chance.choice(list(tree))
        match chance.randrange(8):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return tree | {str(_leaf(key, chance)): tree[key]}
            case _:
                theirs = donor.get(key) if isinstance(donor, dict) else donor
                return tree | {key: _changed(tree[key], theirs, chance)}
    return donor if donor is not None and chance.random() < 0.2 else _leaf(tree, chance)


def _leaf(value: Any, chance: random.Random) -> Any:
    """Another value, mostly of the same type."""
    if chance.random() < 0.1:
        return chance.choice([None, True, 0, -1, "", b"", [], {}, [value], 1.5])
    match value:
        case bool():
            return not value
        case int():
            return chance.choice([value + 1, value - 1, value ^ 1 << chance.randrange(63), *_NUMBERS])
        case bytes():
            return _change_bytes(value, [value, bytes(32)], chance)
        case str():
            at, other = sorted((chance.randint(0, len(value)), chance.randint(0, len(value))))
            text = chance.choice(_TEXTS)
            return chance.choice([value[:at] + text + value[at:], value[:at] + text + value[other:], text, value * 2])
        case _:
            return chance.choice([None, 0, "", b"", [], 2**64 - 1])
