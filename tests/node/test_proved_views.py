"""What a contract stores, and what its views say of it, is proved to whoever has the genesis; and nothing else is."""

import dataclasses
from decimal import Decimal

import msgspec
import pytest

from contracts.machine.local import LocalMachine
from contracts.values import decode, encode
from primitives.errors import Refused
from primitives.identifiers import ShardId
from primitives.signatures import ED25519
from primitives.state_tree import value_hash, verify_proof
from shards.calls.records import contract_key, decode_code, storage_key
from shards.commitments import certificate_decoder
from shards.genesis import ChainContext
from shards.node import api_contracts as api
from shards.node.proved_views import Question, VerifiedView, verify_view
from shards.state import path_of_key
from tests.node.support import Running, make_context
from tests.node.till import SOURCE, act, pay, refused


async def test_a_stored_key_comes_with_a_proof_of_presence_or_absence(till: Running) -> None:
    for key, expected in (("rate", Decimal("1.50")), ("nothing", None)):
        answer = await till.clients[0].stored("till", key, proof=True)
        assert answer.proof is not None
        [entry] = checked(answer.proof)
        assert entry[0] == storage_key("till", key.encode())
        assert (None if entry[1] is None else decode(entry[1])) == expected


def checked(evidence: api.StateEvidence) -> list[tuple[bytes, bytes | None]]:
    """Entries whose proofs hold under the certificate's state root."""
    root = certificate_decoder.decode(bytes.fromhex(evidence.certificate)).commitment.state_root
    found = []
    for entry in evidence.entries:
        key, value = bytes.fromhex(entry.key), None if entry.value is None else bytes.fromhex(entry.value)
        proved = verify_proof(root, path_of_key(key), bytes.fromhex(entry.proof))
        assert proved == (None if value is None else value_hash(value))
        found.append((key, value))
    return found


async def test_a_proved_view_can_be_repeated_from_the_proved_entries_alone(till: Running) -> None:
    await act(till, 1, pay(9))
    answer = await till.clients[0].view("till", "total", encode([]), proof=True)
    assert answer.proof is not None
    entries = dict(checked(answer.proof))
    code = next(decode_code(value) for key, value in entries.items() if value is not None and key[0] == 7)
    assert code.source == SOURCE
    assert contract_key("till") in entries
    assert decode(entries[storage_key("till", b"total")] or b"") == 9 == answer.result
    assert await refused(till.clients[0].view("till", "all_keys", encode([]), proof=True)) == "not_provable"


async def test_a_proved_view_is_verified_with_the_genesis_alone_and_a_changed_one_is_not(till: Running) -> None:
    await act(till, 1, pay(9))
    context, machine = till.configs[0].context, LocalMachine()
    question = Question("till", ShardId(0), "total", encode([]))
    answer = await till.clients[0].view("till", "total", encode([]), proof=True)

    def verify(answer: api.ViewAnswer, question: Question = question, context: ChainContext = context) -> VerifiedView:
        return verify_view(answer, question, context, ED25519, machine)

    verified = verify(answer)
    assert (verified.height, verified.signers, verified.committee_size) == (answer.height, 1, 1)
    assert answer.proof is not None
    assert verified.entries == len(answer.proof.entries) == 3
    for changed in forgeries(answer, answer.proof):
        with pytest.raises(Refused):
            verify(changed)
    with pytest.raises(Refused, match="no_proof"):
        verify(msgspec.structs.replace(answer, proof=None))
    with pytest.raises(Refused, match="what was not proved"):
        verify(answer, dataclasses.replace(question, method="all_keys"))
    with pytest.raises(Refused, match="something else"):
        verify(answer, dataclasses.replace(question, method="when"))
    with pytest.raises(Refused, match="wrong_chain"):
        verify(answer, context=make_context(validators=1, name="another"))


def flipped(text: str) -> str:
    """Bytes in hexadecimal with the lowest bit of the last one changed."""
    raw = bytes.fromhex(text)
    return (raw[:-1] + bytes((raw[-1] ^ 1,))).hex()


def forgeries(answer: api.ViewAnswer, proof: api.StateEvidence) -> list[api.ViewAnswer]:
    """The answer with each of its parts changed, or left out."""
    replace = msgspec.structs.replace
    other = [
        replace(answer, encoded=encode(10).hex()),
        replace(answer, failure=api.FailureView("raised", "ValueError", "", "")),
        replace(answer, height=answer.height + 1),
        replace(answer, time_ms=answer.time_ms + 1),
        replace(answer, contract="other"),
        replace(answer, proof=replace(proof, certificate=flipped(proof.certificate))),
        replace(answer, proof=replace(proof, certificate="")),
    ]
    entries = proof.entries
    # What the view read is left out, and the result is what it would be if nothing were stored there.
    other.append(replace(answer, encoded=encode(0).hex(), proof=replace(proof, entries=entries[:-1])))
    for place, entry in enumerate(entries):
        for changed in (
            [],
            [replace(entry, value=None)],
            [replace(entry, value=encode(10).hex())],
            [replace(entry, proof=flipped(entry.proof))],
            [replace(entry, proof="")],
            [replace(entry, key="")],
            [replace(entry, key=entries[place - 1].key)],
        ):
            new = [*entries[:place], *changed, *entries[place + 1 :]]
            other.append(replace(answer, proof=replace(proof, entries=new)))
    return other
