"""The pool of one event with many models or labels, computed in pieces: to the bit what :func:`.pool.combine` says.

What is summed is summed in one call, for a sum taken apart would be rounded otherwise: rows are cut into pieces of some
models, and columns into pieces of some labels. Rows are tuples: at one of numbers the collector of garbage looks once,
at a list again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import log
from operator import mul

from .forms import linear_pool, softmax
from .pieces import PIECE_CELLS, Pieces, slices, sorted_in_pieces
from .pool import Combined, Mixture, combine, floored, parts_of, shares_by, standings_of
from .state import DEFAULT_RULES, FORMS, Pool, PoolRules
from .table import REMAINDER, Table, distribution

__all__ = ["combine_in_pieces"]

CELLS_OF_ONE = 5
"""So often something is computed, one by one, of each probability that a model gives a label."""

ROW_CELLS = 2
"""What the row of a model takes besides the cells it has."""

CELLS_SUMMED = 8
"""So many numbers are summed, in one call, in the time that one cell takes."""

MODELS_WEIGHED = 4
"""So many models get a weight in that time."""


def combine_in_pieces(
    state: Pool,
    forecasts: Sequence[tuple[str, str, float]],
    labels: Collection[str] = (),
    rules: PoolRules = DEFAULT_RULES,
) -> Pieces[Combined | None]:
    """The forecasts of one event as one; None where there are none. Changes nothing.

    ``state`` must not change meanwhile: :func:`.state.excerpt` is a copy of what is needed.
    """
    if len(forecasts) <= PIECE_CELLS:
        width = len({label for _, label, _ in forecasts}.union(labels))
        cells = len(forecasts) * max(width, 2) * CELLS_OF_ONE
        if cells <= PIECE_CELLS:
            combined = combine(state, forecasts, labels, rules)
            yield cells
            return combined
    return (yield from combine_large(state, forecasts, labels, rules))


def combine_large(
    state: Pool, forecasts: Sequence[tuple[str, str, float]], labels: Collection[str], rules: PoolRules
) -> Pieces[Combined | None]:
    """The same, cut up whatever its size."""
    table = yield from _table(forecasts, labels)
    rows, width, count = table.rows, len(table.labels), len(table.rows)
    if not rows:
        return None
    logs: list[tuple[float, ...]] = []
    for start, end in slices(count, width):
        logs += [tuple(floored(row, rules)) for row in rows[start:end]]
        yield (end - start) * width
    weights = [(s.slow, s.fast, s.correction) for s in standings_of(state, table.model_ids)]
    yield count // MODELS_WEIGHED
    mixture = yield from _mixture(rows, logs, weights, state.form_evidence, state.sharpness, rules)
    shares = shares_by(mixture.slow, mixture.fast, mixture.evidence)
    yield count // MODELS_WEIGHED
    pool = linear_pool(mixture.evidence, mixture.by_form)
    probabilities = dict(zip(table.labels, pool, strict=True))
    remainder = probabilities.pop(REMAINDER, 0.0)
    disagreement = yield from _disagreement(shares, rows)
    return Combined(
        remainder=remainder,
        probabilities=probabilities,
        shares=dict(zip(table.model_ids, shares, strict=True)),
        disagreement=disagreement,
        forms=dict(zip(FORMS, mixture.evidence, strict=True)),
    )


def _table(forecasts: Sequence[tuple[str, str, float]], labels: Collection[str]) -> Pieces[Table]:
    """As :func:`.table.tabulate`."""
    said: dict[str, dict[str, float]] = {}
    known = set(labels)
    for start, end in slices(len(forecasts), 1):
        for model_id, label, confidence in forecasts[start:end]:
            known.add(label)
            said.setdefault(model_id, {})[label] = confidence
        yield end - start
    if len(known) < 2:
        known.add(REMAINDER)
    ordered = yield from sorted_in_pieces(known)
    model_ids = yield from sorted_in_pieces(said)
    rows: list[tuple[float, ...]] = []
    for start, end in slices(len(model_ids), len(ordered) + ROW_CELLS):
        rows += [tuple(distribution(said[model_id], ordered)) for model_id in model_ids[start:end]]
        yield (end - start) * (len(ordered) + ROW_CELLS)
    return Table(ordered, model_ids, rows)


def _mixture(
    rows: Sequence[Sequence[float]],
    logs: Sequence[Sequence[float]],
    weights: list[tuple[float, float, float]],
    form_evidence: Sequence[float],
    sharpness: float,
    rules: PoolRules,
) -> Pieces[Mixture]:
    """As :func:`.pool.mixture_of`."""
    evidence, n = softmax(form_evidence), len(logs)
    slow = softmax([w[0] for w in weights])
    yield n // MODELS_WEIGHED
    fast = softmax([w[1] for w in weights])
    yield n // MODELS_WEIGHED
    mean = yield from _by_column(rows, lambda column: sum(column) / n)
    linear = yield from _linear_pool(slow, rows)
    log_odds = softmax((yield from _linear_pool(fast, logs)))
    forms = [mean, linear, log_odds]
    base = floored(linear_pool(parts_of(evidence), forms), rules)
    features = [tuple(base)]
    for start, end in slices(n, len(base)):
        features += [tuple([p - b for p, b in zip(row, base, strict=True)]) for row in logs[start:end]]
        yield (end - start) * len(base)
    coefficients = [1.0 + sharpness, *[w[2] for w in weights]]
    forms.append(softmax((yield from _linear_pool(coefficients, features))))
    return Mixture(evidence, forms, slow, fast, features)


def _by_column(
    rows: Sequence[Sequence[float]], value: Callable[[tuple[float, ...]], float]
) -> Pieces[list[float]]:
    """The value of each label's column."""
    values: list[float] = []
    cells, column_cells = 0, len(rows) // CELLS_SUMMED + 1
    for column in zip(*rows, strict=True):
        values.append(value(column))
        cells += column_cells
        if cells >= PIECE_CELLS:
            yield cells
            cells = 0
    yield cells
    return values


def _linear_pool(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> Pieces[list[float]]:
    """As :func:`.forms.linear_pool`."""
    return _by_column(rows, lambda column: sum(map(mul, weights, column)))


def _disagreement(shares: Sequence[float], rows: Sequence[Sequence[float]]) -> Pieces[float]:
    """As :func:`.forms.disagreement`."""
    mixture = yield from _linear_pool(shares, rows)
    total = 0.0
    for start, end in slices(len(rows), len(mixture)):
        for w, row in zip(shares[start:end], rows[start:end], strict=True):
            for p, q in zip(row, mixture, strict=True):
                if p > 0.0 and q > 0.0:
                    total += w * p * log(p / q)
        yield (end - start) * len(mixture)
    return min(max(total / log(len(mixture)), 0.0), 1.0)
