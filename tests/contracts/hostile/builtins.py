# ruff: noqa: UP031
# mypy: ignore-errors
# What this file does is wrong on purpose.
"""Hostile: one innocent-looking expression that takes the time of a block."""

import base64
import copy
import decimal
import fractions
import functools
import hashlib
import heapq
import itertools
import json
import math
import operator
import re
import statistics
import string
import textwrap
import unicodedata
from typing import Any

N = 10**9


def sum_range() -> int:
    return sum(range(N))


def max_range() -> int:
    return max(range(N))


def all_range() -> bool:
    return all(range(1, N))


def any_range() -> bool:
    return any(0 for _ in range(N))


def reduce_range() -> int:
    return functools.reduce(operator.xor, range(N))


def in_range_reversed() -> bool:
    return -1.5 in range(N)


def power() -> int:
    return len(str(7 ** (10**7) % 10))


def power_modular() -> int:
    n = (1 << 20_000) - 1
    return pow(3, n, n - 2) % 7


def shift() -> int:
    return (1 << (1 << 28)).bit_length()


def shift_to_the_memory_limit() -> int:
    return (1 << (1 << 40)).bit_length()


def greatest_common_divisor() -> int:
    return math.gcd((1 << 2_000_000) - 1, (1 << 1_999_999) + 1) % 7


def factorial() -> int:
    return math.factorial(200_000) % 7


def combinations_count() -> int:
    return math.comb(200_000, 100_000) % 7


def integer_root() -> int:
    return math.isqrt(1 << 4_000_000) % 7


def product() -> int:
    return math.prod(range(1, 200_000)) % 7


def float_sum() -> str:
    return str(math.fsum(itertools.repeat(0.1, N)))


def digits_out() -> int:
    return len(str(1 << 1_000_000))


def digits_in() -> int:
    return int("7" * 1_000_000) % 7


def hex_digits_in() -> int:
    return int("f" * 10_000_000, 16) % 7


def division() -> int:
    return ((1 << 4_000_000) // ((1 << 2_000_000) + 1)) % 7


def multiplication() -> int:
    n = (1 << 4_000_000) - 1
    return n * n % 7


def _shared(depth: int) -> list[Any]:
    node: list[Any] = []
    for _ in range(depth):
        node = [node, node]
    return node


def compare_shared_lists() -> bool:
    return _shared(30) == _shared(30)


def sort_shared_lists() -> int:
    return len(sorted([_shared(30), _shared(30)]))


def repr_shared_lists() -> int:
    return len(repr(_shared(30)))


def json_shared_lists() -> int:
    return len(json.dumps(_shared(30)))


def copy_shared_lists() -> int:
    return len(copy.deepcopy([_shared(20) for _ in range(1000)]))


def hash_shared_tuples() -> int:
    node: tuple[Any, ...] = ()
    for _ in range(40):
        node = (node, node)
    return hash(node) % 7


def return_shared_lists() -> Any:
    return _shared(30)


def colliding_integers() -> int:
    return len({i * (2**31 - 1) for i in range(100_000)})


class _SameHash:
    def __hash__(self) -> int:
        return 1


def colliding_objects() -> int:
    return len({_SameHash() for _ in range(10_000)})


def repeated_text() -> int:
    return len("x" * N)


def joined_text() -> int:
    return len("-".join(itertools.repeat("x", N)))


def replaced_text() -> int:
    return len(("x" * 1_000_000).replace("x", "y" * 1000))


def found_text() -> int:
    return ("a" * 1_000_000).find("a" * 500_000 + "b")


def split_text() -> int:
    return len(("a " * 2_000_000).split())


def padded_text() -> int:
    return len(f"{1:>{N}}")


def percent_text() -> int:
    return len("%*d" % (N, 1))


def translated_text() -> int:
    return len(("x" * 10_000_000).translate({120: "yyyyyyyy"}))


def normalized_text() -> int:
    return len(unicodedata.normalize("NFKD", "\ufdfa" * 1_000_000))


def expanded_tabs() -> int:
    return len(("\t" * 1_000_000).expandtabs(1000))


def template_text() -> int:
    return len(string.Template("$x" * 100_000).substitute(x="y" * 1000))


def wrapped_text() -> int:
    return len(textwrap.wrap("a " * 500_000, 3))


def catastrophic_pattern() -> bool:
    return re.match(r"(a+)+$", "a" * 40 + "b") is not None


def catastrophic_alternatives() -> bool:
    return re.match(r"(a|a)*$", "a" * 40 + "b") is not None


def pattern_with_backreference() -> bool:
    return re.match(r"(.*)\1(.*)\2$", "a" * 5000 + "b") is not None


def huge_pattern() -> bool:
    return re.match("(a{1,1000}){1,1000}", "a" * 100_000) is not None


def key_derivation() -> int:
    return len(hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10**7))


def script_key() -> int:
    return len(hashlib.scrypt(b"p", salt=b"s", n=2**20, r=8, p=1))


def hash_of_much() -> str:
    digest = hashlib.sha256()
    for _ in range(N):
        digest.update(b"x" * 1000)
    return digest.hexdigest()


def decimal_precision() -> str:
    decimal.getcontext().prec = 10**8
    return str(decimal.Decimal(2).sqrt())[:5]


def decimal_power() -> str:
    decimal.getcontext().prec = 10_000
    return str(decimal.Decimal(2).exp() ** 50_000)[:5]


def decimal_exponent() -> str:
    return str(int(decimal.Decimal("1e100000000")) % 7)


def fraction_power() -> str:
    return str(fractions.Fraction(3, 7) ** 10_000_000)[:5]


def all_permutations() -> int:
    return sum(1 for _ in itertools.permutations(range(100)))


def all_products() -> int:
    return sum(1 for _ in itertools.product(range(1000), repeat=6))


def consumed_iterator() -> Any:
    return next(itertools.islice(itertools.count(), N, None))


def slices_of_bytes() -> int:
    raw = bytes(5_000_000)
    return sum(len(raw[i:]) for i in range(10_000))


def copies_of_lists() -> int:
    items = [0] * 1_000_000
    return sum(len(items[:]) for _ in range(10_000))


def growing_bytes() -> int:
    raw = bytearray()
    while True:
        raw += raw + b"x"


def merged_dicts() -> int:
    d = {i: i for i in range(100_000)}
    return sum(len(d | {-1: 1}) for _ in range(1000))


def heap() -> int:
    return len(heapq.nlargest(10**6, itertools.count()))


def mean_of_much() -> str:
    return str(statistics.mean(range(10_000_000)))


def median_of_fractions() -> str:
    return str(statistics.fmean([0.1] * 10_000_000))


def base64_of_much() -> int:
    raw = b"x" * 100
    for _ in range(100):
        raw = base64.b64encode(raw)
    return len(raw)


def json_of_much() -> Any:
    return len(json.loads("[" + "1," * 5_000_000 + "1]"))
