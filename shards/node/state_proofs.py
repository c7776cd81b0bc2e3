"""Proofs of many keys at once, under the certificate of one height."""

from typing import Final

from primitives.codec import encode
from primitives.errors import NotYet
from primitives.identifiers import Height, Milliseconds
from shards.node import api_contracts as api
from shards.node.http_chain import certificate_of
from shards.node.node import Node

PROOF_ATTEMPTS: Final = 4
"""A proved view is run again when it reads what was not proved yet, or its height is not certified by itself."""


class Proved:
    """Keys of the state after one block, each with its proof, and the certificate of that block."""

    def __init__(self, height: Height, time_ms: Milliseconds, proofs: list[tuple[bytes, bytes | None, bytes]]) -> None:
        self.height: Final = height
        self.time_ms: Final = time_ms
        self.values: Final = {key: value for key, value, _ in proofs}
        self.certificate = b""
        self._proofs: Final = proofs

    def evidence(self) -> api.StateEvidence:
        """For whoever has the genesis."""
        return api.StateEvidence(
            certificate=self.certificate.hex(),
            entries=[
                api.ProvedEntry(key=key.hex(), value=None if value is None else value.hex(), proof=proof.hex())
                for key, value, proof in self._proofs
            ],
        )


async def prove_keys(node: Node, keys: list[bytes]) -> Proved:
    """Proofs of keys at a height that has a certificate.

    Raises:
        NotYet: none of the heights that were tried got one.

    """
    ledger = node.core.ledger

    def prove() -> Proved:
        return Proved(ledger.height, ledger.time_ms, [(key, ledger.get(key), ledger.prove(key)) for key in keys])

    for _ in range(PROOF_ATTEMPTS):
        proved = await node.driver.between_blocks(prove)
        if not proved.height:
            raise NotYet("the genesis has no certificate; ask again when the first block is executed")
        certificate = await certificate_of(node, proved.height)
        if certificate is not None:
            proved.certificate = encode(certificate)
            return proved
    raise NotYet("no recent height was certified in time; ask again")
