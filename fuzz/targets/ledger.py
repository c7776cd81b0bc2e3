"""What the ledger reads: blocks, transactions, bundles, exported proofs, proofs of state, messages and receipts."""

from functools import cache
from typing import Final

from msgspec.structs import replace

from consensus.block import block_id_of, decode_block
from fuzz import samples
from fuzz.target import Target, must
from fuzz.targets.links import only
from primitives.codec import encode
from primitives.identifiers import Nonce, ShardId
from primitives.signatures import ED25519, SIGNATURE_BYTES
from primitives.state_tree import value_hash, verify_proof
from shards.bundles import bundle_gas, decode_bundle, verify_bundle
from shards.inclusion import check_inclusion_terms
from shards.items import ItemKind, pack_item
from shards.messages import message_decoder
from shards.proofs import verify_message_proof
from shards.receipts import receipt_decoder
from shards.state import account_key, path_of_key
from shards.transactions import parse_transaction, sign_transaction
from shards.validator.pending import parse_block
from tests.shards.builders import next_block
from tests.support.stored_chain import StoredChain

_ZERO: Final = ShardId(0)
_ONE: Final = ShardId(1)


def _blocks() -> list[bytes]:
    return [encode(block) for block in samples.blocks()]


def _read_block(raw: bytes) -> None:
    block = decode_block(raw)
    must(encode(block) == raw, "a block has two forms")
    parsed = parse_block(block_id_of(block.header), block, parse_transaction)
    must(parsed.gas >= 0, "a block takes less than no gas")


def _read_transaction(raw: bytes) -> None:
    transaction = parse_transaction(raw)
    check_inclusion_terms(transaction.body, samples.chain().context, _ZERO, samples.chain().time_ms)
    if ED25519.verify_many([transaction.signature_item()])[0]:
        must(raw in samples.transactions(), "a changed transaction carries a good signature")


def _bodies() -> list[bytes]:
    return [raw[SIGNATURE_BYTES:] for raw in samples.transactions()]


@cache
def _executing() -> StoredChain:
    """A chain of its own: a ledger that has executed a block proves nothing until the block is applied."""
    return samples.make_chain()


def _execute(raw: bytes) -> None:
    """Any body, signed by its sender, as the only item of the next block: the ledger executes it or refuses it."""
    made = _executing()
    alice = made.accounts[0]
    shard = made.shards[0]
    body = parse_transaction(bytes(SIGNATURE_BYTES) + raw).body
    nonce: Nonce = made.account(0, alice).nonce
    body = replace(body, sender=alice.key, chain_id=made.context.chain_id, shard=_ZERO, nonce=nonce)
    check_inclusion_terms(body, made.context, _ZERO, made.time_ms + 1)
    item = pack_item(ItemKind.TRANSACTION, sign_transaction(body, alice.seed, ED25519))
    block = next_block(shard.ledger, made.context, _ZERO, [item], made.time_ms + 1)
    parse_block(block_id_of(block.header), block, parse_transaction)
    execution = shard.ledger.execute(block)
    must(execution.commitment.supply.holds(), "money was made or lost")
    must(len(execution.receipts) > 0, "a transaction has no receipt")


def _verify_bundle(raw: bytes) -> None:
    bundle = decode_bundle(raw)
    must(bundle_gas(bundle) > 0, "a bundle is free")
    verify_bundle(bundle, samples.chain().context, _ONE, ED25519)


def _verify_message_proof(raw: bytes) -> None:
    verify_message_proof(raw, samples.chain().context, ED25519)


@cache
def _proved() -> tuple[bytes, bytes | None, bytes, bytes]:
    """Path, value, root and proof of an account."""
    made = samples.chain()
    ledger = made.shards[0].ledger
    key = account_key(made.accounts[0].key)
    return path_of_key(key), ledger.get(key), ledger.commitment.state_root, ledger.prove(key)


def _state_proofs() -> list[bytes]:
    return [_proved()[3]]


def _verify_state_proof(raw: bytes) -> None:
    path, value, root, _ = _proved()
    found = verify_proof(type(samples.chain().shards[0].ledger.commitment.state_root)(root), path, raw)
    must(value is not None and found == value_hash(value), "a proof shows another value than there is")


def _messages() -> list[bytes]:
    return [body for shard in samples.chain().shards for bodies in shard.bodies.values() for body in bodies]


def _receipts() -> list[bytes]:
    return [raw for shard in samples.chain().shards for each in shard.executions for raw in each.receipts]


def _read_message(raw: bytes) -> None:
    must(encode(message_decoder.decode(raw)) == raw, "a message has two forms")


def _read_receipt(raw: bytes) -> None:
    must(encode(receipt_decoder.decode(raw)) == raw, "a receipt has two forms")


TARGETS: Final = (
    Target("block", _read_block, _blocks),
    Target("transaction", _read_transaction, samples.transactions, prefix=SIGNATURE_BYTES),
    Target("execution", _execute, _bodies, weight=10),
    Target("bundle", only(_verify_bundle, samples.bundles), samples.bundles),
    Target("message-proof", only(_verify_message_proof, samples.message_proofs), samples.message_proofs),
    Target("state-proof", only(_verify_state_proof, _state_proofs), _state_proofs, form="bytes"),
    Target("message", _read_message, _messages),
    Target("receipt", _read_receipt, _receipts),
)
