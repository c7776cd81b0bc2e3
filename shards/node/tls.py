"""Mutual TLS 1.3 between validators, with self-signed Ed25519 certificates that the genesis pins byte for byte.

There is no authority and no name to check: the validator set holds each member's DER certificate, and a peer is who
its certificate says, bit for bit. The TLS key is derived from the validator's seed under a tag of its own, so that no
TLS signature can ever be a vote, and a certificate is a pure function of the seed and the name.
"""

import secrets
import ssl
import tempfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from consensus.committee import Committee
from primitives.hashing import Tag, tagged_hash
from primitives.identifiers import SecretSeed, ValidatorIndex
from shards.node.faults import BadConfiguration

TLS_KEY = Tag(b"ostraka/tls-key/v1\0")

_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 4.1.2.5: no well-defined end. Validity ends when the validator leaves the set."""


def _tls_key(seed: SecretSeed) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(tagged_hash(TLS_KEY, seed))


def make_certificate(seed: SecretSeed, name: str) -> bytes:
    """DER certificate of a validator (about 240 B) from its voting seed; equal arguments give equal bytes."""
    key = _tls_key(seed)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    serial = int.from_bytes(sha256(key.public_key().public_bytes_raw() + name.encode()).digest()[:16], "big") >> 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial | 1)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    return builder.sign(key, algorithm=None).public_bytes(Encoding.DER)


def server_context(committee: Committee, me: ValidatorIndex, seed: SecretSeed) -> ssl.SSLContext:
    """Context for links that come in: whoever shows no certificate of this committee gets no further."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, committee, me, seed)
    return context


def client_context(committee: Committee, me: ValidatorIndex, seed: SecretSeed) -> ssl.SSLContext:
    """Context for links that go out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the certificate itself is pinned; names mean nothing here
    _set_up(context, committee, me, seed)
    return context


def _set_up(context: ssl.SSLContext, committee: Committee, me: ValidatorIndex, seed: SecretSeed) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        for member in committee.members.validators:
            context.load_verify_locations(cadata=member.tls_certificate)
    except ssl.SSLError as error:
        raise BadConfiguration(f"the genesis holds an unreadable TLS certificate: {error}") from error
    own = committee.members.validators[me].tls_certificate
    # The ssl module reads keys from files only. What touches the disk is encrypted under a password nobody keeps.
    password = secrets.token_bytes(32).hex().encode()
    key = _tls_key(seed).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.TemporaryDirectory(prefix="ostraka-") as folder:
        file = Path(folder) / "key.pem"
        file.write_text(ssl.DER_cert_to_PEM_cert(own) + key.decode())
        try:
            context.load_cert_chain(file, password=password)
        except ssl.SSLError:
            wrong = f"the seed is not that of validator {me} of shard {committee.shard}: its TLS certificate differs"
            raise BadConfiguration(wrong) from None


def peer_index(committee: Committee, certificate: bytes | None) -> ValidatorIndex | None:
    """Whose certificate this is, byte for byte; None for a stranger's."""
    for index, member in enumerate(committee.members.validators):
        if certificate is not None and member.tls_certificate == certificate:
            return ValidatorIndex(index)
    return None
