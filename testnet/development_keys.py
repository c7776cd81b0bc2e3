"""Keys of local testnets: every secret follows from a name that anybody can read here.

PUBLIC, ON PURPOSE. `alice` has the same address on every developer's machine, so examples can be copied. Whoever
reads this file can spend from these accounts and vote as these validators: a chain that has them says so in its
genesis (`development = true`), and money of worth must never be sent to them.
"""

from primitives.hashing import Domain, tagged_hash
from primitives.identifiers import PublicKey, SecretSeed
from primitives.signatures import public_key_of


def account_seed(name: str) -> SecretSeed:
    """Secret seed of a named development account."""
    return _seed(f"account/{name}")


def account_key(name: str) -> PublicKey:
    """Address of a named development account."""
    return public_key_of(account_seed(name))


def validator_seed(shard: int, index: int) -> SecretSeed:
    """Voting seed of validator `index` of a shard; its TLS key follows from the same seed."""
    return _seed(f"validator/{shard}/{index}")


def _seed(name: str) -> SecretSeed:
    """Hash of the name; the kind in front keeps accounts and validators apart."""
    return SecretSeed(tagged_hash(Domain.DEVELOPMENT_KEY, name.encode()))
