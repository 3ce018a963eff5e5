"""Counter-based draws: every draw is computed of what was asked, so any selection can be computed again.

No generator has a state that threads could race for: the draw of a model depends on the seed, the
selection, the model and its posterior alone, not on which models were asked, in which order, or by which
thread.

The recipe, for any language:

1. ``key = BLAKE2b(decimal(seed) + ":" + selection_id)`` and ``stream = BLAKE2b(model_id)``, each unkeyed
   with 16 bytes of digest, read as two little-endian words of 64 bits, ``k₀ k₁`` and ``h₀ h₁``; text is UTF-8,
   the seed in decimal ASCII without padding.
2. In each selection a model has two SplitMix64 generators (see :mod:`.splitmix`), begun at ``h₀ ⊕ k₀`` and at
   ``h₁ ⊕ k₁``.
3. Draw ``i`` = 0, 1, 2, … from Beta(α, β) is ``G_α / (G_α + G_β)``: Gamma variates (see :mod:`.gamma`) from the
   words from ``32·i`` on, ``G_α`` of the first generator and ``G_β`` of the second.
4. A shape ``a`` below 1 is drawn as ``a + 1`` and multiplied by ``u^(1/a)``, of the uniform of word ``32·i + 30``; a
   draw with such a shape is formed of logarithms, because the factors may underflow.
5. A draw from a mixture of Betas is one from the Beta that the uniform of word ``32·i + 31`` of the first generator
   picks (see :mod:`.mixture`).

Over the models of one selection, and over the selections of one model, generators begin at random, as BLAKE2b has
it. What is left for SplitMix64's finalizer to break is that the four beginnings of two models in two selections,
taken together, are ⊕ 0.

A library's inverse of the Beta distribution at one uniform would do as well, in ten times the time, and with other
bits in the library's next release.

Source: counter-based generation: Salmon, Moraes, Dror & Shaw (2011), *Parallel random numbers: as easy as 1, 2, 3*,
SC11; Beta as a ratio of Gammas: Johnson, Kotz & Balakrishnan (1995), *Continuous univariate distributions* 2, ch. 25;
shapes below 1: Marsaglia & Tsang (2000), section 6; BLAKE2b: RFC 7693; Thompson sampling: Thompson (1933), *On the
likelihood that one unknown probability exceeds another*, Biometrika 25.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypeAlias

import numpy as np
from scipy.special import expit

from . import gamma
from .gamma import gamma_variates
from .mixture import Mixture
from .splitmix import CELL, Floats, Words, advanced, constant, uniforms_of, word, words

__all__ = [
    "Seeds",
    "Streams",
    "beta_draw",
    "beta_draws",
    "draw_key",
    "few_beta_draws",
    "later_seeds",
    "mixture_draw",
    "mixture_draws",
    "stream_of",
    "stream_seeds",
    "streams_of",
    "words_of",
]

Streams: TypeAlias = Words
"""What models' generators are told apart by: a row of h₀ and one of h₁, a column a model."""
Seeds: TypeAlias = Words
"""Where they begin in one selection, in the same order."""

_DIGEST_BYTES = 16
_WORD = np.dtype("<u8")
_two_words = Struct("<2Q").unpack
_DRAW_WORDS = np.uint64(32)
_EXPONENT_WORD = 30
_PICK_WORD = 31
_N_ONE = constant(1.0)


def draw_key(seed: int, selection_id: str) -> bytes:
    """What every draw of this selection is keyed with: two words; computed once a selection.

    Raises:
        UnicodeEncodeError: ``selection_id`` is not valid Unicode (a lone surrogate).

    >>> draw_key(7, "s-1").hex()
    'f0a4c604ecdeb206c0abbf3faf62851a'
    """
    return blake2b(f"{seed}:{selection_id}".encode(), digest_size=_DIGEST_BYTES).digest()


def stream_of(model_id: str) -> bytes:
    """What a model's generators are told by, in every selection: two words; computed once a model.

    Raises:
        UnicodeEncodeError: ``model_id`` is not valid Unicode (a lone surrogate).

    >>> stream_of("elo").hex()
    'c05d9e74f0485f3991941049f765a3a5'
    """
    return blake2b(model_id.encode(), digest_size=_DIGEST_BYTES).digest()


def streams_of(streams: Iterable[bytes]) -> Streams:
    """Several :func:`stream_of` as words.

    >>> streams_of([stream_of("elo"), stream_of("glicko"), stream_of("form")]).shape
    (2, 3)
    """
    pairs = np.frombuffer(b"".join(streams), dtype=_WORD).reshape(-1, 2)
    return np.ascontiguousarray(pairs.T, dtype=np.uint64)


def words_of(stream: bytes) -> tuple[int, int]:
    """The two words of a key or a stream.

    >>> [hex(word) for word in words_of(stream_of("elo"))]
    ['0x395f48f0749e5dc0', '0xa5a365f749109491']
    """
    return _two_words(stream)


def stream_seeds(key: bytes, streams: Streams) -> Seeds:
    """Where the generators begin in the selection of ``key``.

    >>> stream_seeds(draw_key(7, "s-1"), streams_of([stream_of("elo")])).tolist()
    [[4606503042758015280], [13773704586888953681]]
    """
    return streams ^ np.frombuffer(key, dtype=_WORD)[:, None]


def later_seeds(seeds: Seeds, draws: int) -> Seeds:
    """Where generators begin for what is otherwise draw ``draws`` of each.

    >>> seeds = stream_seeds(draw_key(7, "s-1"), streams_of([stream_of("elo")]))
    >>> beta_draws(later_seeds(seeds, 1), [3.0], [1.0], 1).round(6).tolist()
    [[0.720114]]
    """
    return advanced(seeds, np.array([draws], dtype=np.uint64) * _DRAW_WORDS)


def beta_draws(seeds: Seeds, alphas: Sequence[float], betas: Sequence[float], n: int) -> Floats:
    """``n`` draws from Beta(alpha, beta) for each model, a row each; all in [0, 1].

    A draw depends on its own seeds, alpha and beta alone, bit for bit, and asking for more never changes the
    earlier ones. The parameters must be above 0 and finite; nothing is checked.

    >>> seeds = stream_seeds(draw_key(7, "s-1"), streams_of([stream_of("elo"), stream_of("glicko")]))
    >>> beta_draws(seeds, [3.0, 1.0], [1.0, 1.0], 2).round(6).tolist()
    [[0.880698, 0.720114], [0.198517, 0.030402]]
    """
    shapes = np.array((alphas, betas), dtype=np.float64)
    if n > 1:
        seeds = advanced(seeds[..., None], np.arange(n, dtype=np.uint64) * _DRAW_WORDS).reshape(2, -1)
        shapes = shapes.repeat(n, axis=1)
    small = shapes < _N_ONE
    any_small = np.count_nonzero(small)
    gammas = gamma_variates(seeds, shapes + small if any_small else shapes)
    alpha, beta = gammas
    draws: Floats = alpha / (alpha + beta)
    if any_small:
        places = np.flatnonzero(small[0] | small[1])
        draws[places] = _small_draws(seeds[:, places], shapes[:, places], gammas[:, places])
    return draws.reshape(-1, n)


def _small_draws(seeds: Seeds, shapes: Floats, gammas: Floats) -> Floats:
    """Draws of which a shape is below 1, from the Gamma variates of what was drawn in its place."""
    powers = np.where(shapes < 1.0, np.log(uniforms_of(words(seeds, _EXPONENT_WORD))) / shapes, 0.0)
    alpha, beta = np.log(gammas) + powers
    return expit(alpha - beta)


def mixture_draws(seeds: Seeds, mixtures: Sequence[Mixture], n: int) -> Floats:
    """``n`` draws from the mixture of each model, a row each: the uniform of word ``32·i + 31`` of the first generator
    picks the Beta that draw ``i`` is of.

    >>> from .changepoint import ChangePointFilter
    >>> seeds = stream_seeds(draw_key(7, "s-1"), streams_of([stream_of("glicko")]))
    >>> mixture_draws(seeds, [ChangePointFilter().mixture(0)], 2).round(6).tolist()
    [[0.198517, 0.030402]]
    """
    each = advanced(seeds[..., None], np.arange(n, dtype=np.uint64) * _DRAW_WORDS)
    picks = uniforms_of(words(each[0], _PICK_WORD)).tolist()
    picked = [mixture.component(u) for mixture, row in zip(mixtures, picks, strict=True) for u in row]
    alphas, betas = zip(*picked, strict=True)
    return beta_draws(each.reshape(2, -1), alphas, betas, 1).reshape(-1, n)


def mixture_draw(key: bytes, stream: bytes, mixture: Mixture) -> float:
    """The first of :func:`mixture_draws` for one model, in the selection of ``key``: the same number, sooner.

    >>> from .changepoint import ChangePointFilter
    >>> round(mixture_draw(draw_key(7, "s-1"), stream_of("glicko"), ChangePointFilter().mixture(0)), 6)
    0.198517
    """
    picked = word(words_of(stream)[0] ^ words_of(key)[0], _PICK_WORD)
    alpha, beta = mixture.component(((picked >> 11) | 1) * CELL)
    return few_beta_draws(key, (stream,), (alpha,), (beta,))[0]


def few_beta_draws(
    key: bytes, streams: Sequence[bytes], alphas: Sequence[float], betas: Sequence[float]
) -> list[float]:
    """The first of :func:`beta_draws` for each of a few models, in the selection of ``key``: the same numbers, sooner.

    >>> streams = stream_of("elo"), stream_of("glicko")
    >>> [round(draw, 6) for draw in few_beta_draws(draw_key(7, "s-1"), streams, [3.0, 1.0], [1.0, 1.0])]
    [0.880698, 0.198517]
    """
    alpha_key, beta_key = words_of(key)
    draws: list[float] = []
    for stream, alpha, beta in zip(streams, alphas, betas, strict=True):
        first, second = words_of(stream)
        draw = beta_draw(first ^ alpha_key, second ^ beta_key, alpha, beta)
        if draw < 0.0:
            seeds = stream_seeds(key, streams_of(streams))
            return beta_draws(seeds, alphas, betas, 1)[:, 0].tolist()
        draws.append(draw)
    return draws


def beta_draw(first_seed: int, second_seed: int, alpha: float, beta: float) -> float:
    """The first of :func:`beta_draws` for generators begun at these seeds; -1 if that has to say: one out of
    the ordinary (see :func:`.gamma.gamma_variate`).

    >>> h, k = words_of(stream_of("elo")), words_of(draw_key(7, "s-1"))
    >>> round(beta_draw(h[0] ^ k[0], h[1] ^ k[1], 3.0, 1.0), 6)
    0.880698
    >>> beta_draw(h[0] ^ k[0], h[1] ^ k[1], 0.5, 1.0)
    -1.0
    """
    a = gamma.gamma_variate(first_seed, alpha)
    b = gamma.gamma_variate(second_seed, beta)
    if not a or not b:
        return -1.0
    return a / (a + b)
