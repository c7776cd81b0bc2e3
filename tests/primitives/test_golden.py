"""Formats are pinned: what `primitives` makes of fixed inputs is in `tests/vectors/primitives.json`.

`python -m tests.primitives.test_golden` prints the file anew. Do that only for a change of protocol that is meant.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from primitives import merkle, mmr
from primitives.addresses import format_address
from primitives.amounts import Amount, AmountField, pack_amount
from primitives.codec import Decoder, Record, encode
from primitives.hashing import Domain, Tag, tagged_hash
from primitives.identifiers import Hash, HashField, Height, HeightField, PublicKey, SecretSeed, ShardId, ShardIdField
from primitives.keyfiles import ScryptCost, open_key, seal_key
from primitives.signatures import public_key_of, sign, verify_many
from primitives.state_tree import StateTree, path_of, value_hash, verify_proof
from primitives.storage import integer_key

GOLDEN = Path(__file__).parent.parent / "vectors" / "primitives.json"


class Sample(Record):
    """One field of every kind that records hold."""

    shard: ShardIdField
    height: HeightField
    block: HashField
    amount: AmountField
    numbers: tuple[HeightField, ...]
    note: Annotated[str, Meta(max_length=40)]
    proof: bytes | None
    urgent: bool


SAMPLES = {
    "smallest": Sample(ShardId(0), Height(0), Hash(bytes(32)), pack_amount(Amount(0)), (), "", None, False),
    "largest": Sample(
        ShardId(1023),
        Height(2**63 - 1),
        Hash(b"\xff" * 32),
        pack_amount(Amount(2**128 - 1)),
        tuple(Height(number) for number in (0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32)),
        "Ὄστρακα",
        bytes(300),
        True,
    ),
}

SEED = SecretSeed(bytes(range(32)))
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100)


def numbered(number: int) -> bytes:
    return b"entry %d" % number


def merkle_vectors() -> dict[str, Any]:
    leaves = [merkle.leaf_hash(numbered(number)) for number in range(100)]
    return {
        "roots": {str(size): merkle.tree_root(leaves[:size]).hex() for size in SIZES},
        "proof_of_66_in_100": [each.hex() for each in merkle.inclusion_proof(leaves, 66)],
    }


def mmr_vectors() -> dict[str, Any]:
    peaks, roots, nodes = mmr.EMPTY, {"0": mmr.EMPTY.root().hex()}, dict[tuple[int, int], Hash]()
    for number in range(100):
        peaks, made = mmr.append(peaks, Hash(sha256(numbered(number)).digest()))
        nodes.update({(node.level, node.index): node.hash for node in made})
        if number + 1 in SIZES:
            roots[str(number + 1)] = peaks.root().hex()

    def read(level: int, index: int) -> Hash | None:
        return nodes.get((level, index))

    return {
        "roots": roots,
        "peaks_of_100": [each.hex() for each in peaks.hashes],
        "path_of_66_in_100": [each.hex() for each in mmr.inclusion_path(66, 100, read)],
        "right_hashes_of_37_to_100": [each.hex() for each in mmr.right_hashes(37, 100, read)],
    }


def filled_state_tree() -> StateTree:
    tree = StateTree()
    tree.apply(
        {path_of(number % 3, b"contract", numbered(number)): value_hash(numbered(number)) for number in range(100)}
    )
    # One slot that overflows, so that a node below the slots is pinned too.
    tree.apply({b"\xab\xcd" + sha256(numbered(number)).digest()[:30]: value_hash(b"") for number in range(40)})
    return tree


def state_tree_vectors() -> dict[str, Any]:
    tree = filled_state_tree()
    crowded = b"\xab\xcd" + sha256(numbered(7)).digest()[:30]
    return {
        "path_of_2_contract_key": path_of(2, b"contract", b"key").hex(),
        "value_hash_of_value": value_hash(b"value").hex(),
        "empty_root": StateTree().root.hex(),
        "root": tree.root.hex(),
        "presence_proof": tree.prove(crowded).hex(),
        "absence_proof": tree.prove(path_of(2, b"contract", b"absent")).hex(),
    }


def vectors() -> dict[str, Any]:
    """All pinned values, as they come out of the code now."""
    tags: dict[str, bytes] = {name: tag for name, tag in vars(Domain).items() if isinstance(tag, bytes)}
    return {
        "records": {name: encode(sample).hex() for name, sample in SAMPLES.items()},
        "tagged_hashes_of_data": {
            name: tagged_hash(Tag(tag), b"da", b"ta").hex() for name, tag in sorted(tags.items())
        },
        "integer_key_of_258": integer_key(258).hex(),
        "signature": {
            "seed": SEED.hex(),
            "public_key": public_key_of(SEED).hex(),
            "of_data": sign(SEED, b"data").hex(),
            "address": format_address(public_key_of(SEED)),
        },
        "merkle": merkle_vectors(),
        "mmr": mmr_vectors(),
        "state_tree": state_tree_vectors(),
        "key_file": seal_key(SEED, "passphrase", salt=b"s" * 16, nonce=b"n" * 12, cost=ScryptCost(1024, 8, 1)),
    }


def pinned() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GOLDEN.read_text())
    return loaded


def test_every_format_is_the_pinned_one() -> None:
    now, then = vectors(), pinned()
    assert list(now) == list(then)
    for name, value in now.items():
        assert value == then[name], f"the format of {name!r} changed: see the docstring of this file"


def test_pinned_bytes_are_read_as_what_they_were_made_from() -> None:
    then = pinned()
    decoder = Decoder(Sample, max_bytes=1000, name="sample")
    for name, sample in SAMPLES.items():
        assert decoder.decode(bytes.fromhex(then["records"][name])) == sample
    signature = then["signature"]
    public_key = PublicKey(bytes.fromhex(signature["public_key"]))
    assert verify_many([(public_key, b"data", sign(SEED, b"data"))]) == [True]
    assert open_key(then["key_file"], "passphrase") == SEED
    tree = then["state_tree"]
    root, crowded = Hash(bytes.fromhex(tree["root"])), b"\xab\xcd" + sha256(numbered(7)).digest()[:30]
    assert verify_proof(root, crowded, bytes.fromhex(tree["presence_proof"])) == value_hash(b"")
    absent = path_of(2, b"contract", b"absent")
    assert verify_proof(root, absent, bytes.fromhex(tree["absence_proof"])) is None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), indent=2, ensure_ascii=False) + "\n")
