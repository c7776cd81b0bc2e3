"""The vocabulary: identifiers, amounts, encoding, hashing, signatures, Merkle structures, errors."""
