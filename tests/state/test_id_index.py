from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt
from random import Random
from unittest.mock import patch
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.state import id_index
from handicapper.actors.state.id_index import (
    PRIME,
    BloomFilter,
    build_run,
    fingerprint,
    look_up,
    look_up_all,
    merge_runs,
    run_fingerprints,
)

numbers = st.integers(0, 2**61 - 1)
pairs = st.lists(st.tuples(st.integers(0, 30) | numbers, st.integers(1, 50)), max_size=60)


def run_of(rows: list[tuple[int, int]]) -> bytes:
    return build_run([number for number, _ in rows], [ordinal for _, ordinal in rows])


@given(st.lists(numbers, max_size=200), st.lists(numbers, max_size=20))
def test_filter_never_denies_an_id_it_holds(added: list[int], later: list[int]) -> None:
    seen = BloomFilter(1)
    seen.add(added)
    seen.add(np.array(later, dtype=np.uint64))
    assert all(number in seen for number in added + later)
    assert seen.count == len(added) + len(later)


def test_filter_without_ids_holds_none() -> None:
    assert fingerprint("p1") not in BloomFilter(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"p{i}",
        lambda i: str(10**8 + i),
        lambda i: f"trade-{i:012d}",
        lambda i: f"{i}/mlb-2019/model-a",
        lambda i: str(UUID(int=Random(i).getrandbits(128))),
    ],
    ids=["short", "digits", "padded", "suffixed", "uuid"],
)
def test_filter_denies_new_ids_as_often_as_theory_says_however_they_are_made(
    make: Callable[[int], str],
) -> None:
    """With n ids, m bits and 4 independent probes a new id is a "perhaps" with probability
    q = (1 − e^(−4n/m))^4. Here n = 500,000 and m = 2^23: q = 0.00202. Of 20,000 new ids 40.5 are
    expected, with a standard deviation of 6.4; five of them more is 73. Probes that follow one another
    at one step are not independent: double hashing adds O(1/m), nothing at this size.
    """
    n, tried, bits = 500_000, 20_000, 2**23
    seen = BloomFilter(1)
    seen.add([fingerprint(make(i)) for i in range(n)])
    perhaps = sum(fingerprint(make(i)) in seen for i in range(n, n + tried))
    q = (1.0 - exp(-4.0 * n / bits)) ** 4
    assert perhaps <= tried * q + 5.0 * sqrt(tried * q)


def test_filter_size_is_rounded_up_to_a_power_of_two() -> None:
    """Ids whose places differ in the top bit only must not share them: 3 MiB becomes 4."""
    seen = BloomFilter(3)
    seen.add([0])
    assert 0 in seen
    assert 2**24 * 3 // 2 not in seen


@given(st.text(), st.text())
def test_fingerprints_are_in_range_and_equal_ids_have_equal_ones(one: str, other: str) -> None:
    one, other = one.encode("utf-8", "ignore").decode(), other.encode("utf-8", "ignore").decode()
    assert 0 <= fingerprint(one) < PRIME < 2**61
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


def test_fingerprint_of_an_id_is_pinned_because_it_is_on_disk() -> None:
    assert fingerprint("p1") == (int.from_bytes(b"p1\1", "little") << 64) % PRIME


def test_prime_is_one() -> None:
    """Miller–Rabin with the first twelve primes as bases decides every number below 3.3·10^24 (Sorenson &
    Webster, 2015)."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        x = pow(base, odd, PRIME)
        assert x in (1, PRIME - 1) or any(pow(x, 2**k, PRIME) == PRIME - 1 for k in range(1, twos))


@given(pairs, numbers)
def test_run_finds_exactly_the_ordinals_of_a_fingerprint(rows: list[tuple[int, int]], absent: int) -> None:
    run = run_of(rows)
    for number in {n for n, _ in rows} | {absent}:
        assert look_up(run, number) == sorted(o for n, o in rows if n == number)
    assert sorted(int(n) for n in run_fingerprints(run)) == sorted(n for n, _ in rows)


@pytest.mark.parametrize("rows_a_number", [0, 4_096])
@given(rows=pairs, wanted=st.lists(numbers, unique=True))
def test_several_fingerprints_are_found_as_one_after_another(
    rows_a_number: int, rows: list[tuple[int, int]], wanted: list[int]
) -> None:
    """All at once in a copy of the column, and one by one; behind a head of five bytes, as in a record."""
    with patch.object(id_index, "_ROWS_A_NUMBER", rows_a_number):
        found = list(look_up_all(memoryview(b"12345" + run_of(rows))[5:], wanted))
    assert found == [(n, o) for n in wanted for o in sorted(o for m, o in rows if m == n)]


@given(st.lists(pairs, min_size=1, max_size=6), st.integers(0, 50))
def test_merged_runs_find_what_any_of_them_found(runs: list[list[tuple[int, int]]], drop_below: int) -> None:
    every = {row for rows in runs for row in rows}
    merged = merge_runs([run_of(rows) for rows in runs], drop_below)
    kept = {(n, o) for n, o in every if o >= drop_below}
    assert len(merged) == 16 * len(kept)
    for number in {n for n, _ in every}:
        assert look_up(merged, number) == sorted(o for n, o in kept if n == number)


@given(st.lists(pairs, min_size=2, max_size=6))
def test_merging_runs_in_two_steps_equals_merging_them_at_once(runs: list[list[tuple[int, int]]]) -> None:
    built = [run_of(rows) for rows in runs]
    assert merge_runs([merge_runs(built[:1]), merge_runs(built[1:])]) == merge_runs(built)
