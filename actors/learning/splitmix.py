"""SplitMix64: words and uniforms by counter, of many generators together or of one.

A generator is no more than where it begins; its word ``c`` = 0, 1, 2, … is
``mix(seed + (c + 1)·0x9E3779B97F4A7C15)``, where ``mix(z)`` is ``z ⊕= z >> 30``, ``z *= 0xBF58476D1CE4E5B9``,
``z ⊕= z >> 27``, ``z *= 0x94D049BB133111EB``, ``z ⊕= z >> 31``, in unsigned words of 64 bits that wrap around.
Its uniform ``c`` is ``((word >> 11) | 1) / 2⁵³``: the upper 53 bits with the last one set. That is the midpoint
of one of 2⁵² equal cells, exact in a double and never 0 or 1.

Source: Steele, Lea & Flood (2014), *Fast splittable pseudorandom number generators*, OOPSLA, with the finalizer
"Mix13" of Stafford (2011). The generator passes BigCrush.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["CELL", "Floats", "Words", "advanced", "constant", "uniforms_of", "word", "words"]

Words: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]

CELL: Final = 2.0**-53

_STEP = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1
_FACTOR_1, _FACTOR_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def constant(value: float) -> Floats:
    """A number as an array of no dimension: of a scalar numpy takes half as long again."""
    return np.array(value)


def _word_constant(value: int) -> Words:
    return np.array(value & _MASK, dtype=np.uint64)


_N_STEP, _N_FACTOR_1, _N_FACTOR_2 = map(_word_constant, (_STEP, _FACTOR_1, _FACTOR_2))
_N11, _N27, _N30, _N31, _N_LAST_BIT = map(_word_constant, (11, 27, 30, 31, 1))
_N_CELL = constant(CELL)


def word(seed: int, count: int) -> int:
    """Word ``count`` of the generator begun at ``seed``.

    >>> [hex(word(0, count)) for count in range(2)]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    z = (seed + (count + 1) * _STEP) & _MASK
    z = ((z ^ (z >> 30)) * _FACTOR_1) & _MASK
    z = ((z ^ (z >> 27)) * _FACTOR_2) & _MASK
    return z ^ (z >> 31)


def words(seeds: Words, count: int) -> Words:
    """Word ``count`` of each generator.

    >>> [hex(each) for each in words(np.array([0, 1], dtype=np.uint64), 0)]
    ['0xe220a8397b1dcdaf', '0x910a2dec89025cc1']
    """
    mixed = seeds + (_word_constant((count + 1) * _STEP) if count else _N_STEP)
    mixed ^= mixed >> _N30
    mixed *= _N_FACTOR_1
    mixed ^= mixed >> _N27
    mixed *= _N_FACTOR_2
    mixed ^= mixed >> _N31
    return mixed


def advanced(seeds: Words, counts: Words) -> Words:
    """The generators that begin at these words of ``seeds``; the two are broadcast together.

    >>> later = advanced(np.array([0], dtype=np.uint64), np.array([0, 5], dtype=np.uint64))
    >>> [hex(each) for each in words(later, 1)] == [hex(word(0, 1)), hex(word(0, 6))]
    True
    """
    return seeds + counts * _N_STEP


def uniforms_of(drawn: Words) -> Floats:
    """The uniforms of words.

    >>> uniforms_of(np.array([0, 2**64 - 1], dtype=np.uint64)).tolist() == [2.0**-53, 1.0 - 2.0**-53]
    True
    """
    upper = drawn >> _N11
    upper |= _N_LAST_BIT
    return upper * _N_CELL
