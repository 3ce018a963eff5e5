"""Folding rows into a model's statistics: what is learned of each outcome, in order.

The rules are those of :mod:`..learning`. The ones that take every outcome are written out here, in loops over a
run of rows, because a call and the fields of a struct cost more than the rule itself; they give the same bits.

Compiled, the loops run on C's numbers (see ``fold.pxd``), with the same bits again. So the time between two rows is
named before it is divided: its sign is known, and unsigned it holds what a signed word would not, three centuries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import inf
from typing import Final

from ...config.settings import LearningRules
from ..learning.calibration import FIELDS
from ..learning.scores import LOG_LOSS_CLIP, brier_loss, log_loss
from .changing import fold_changes
from .edge import Edge, fold_edge
from .history import ROW_BYTES, History, Row, unpack_lesson
from .recalibrating import Recalibration, fold_recalibration
from .statistics import LearnedStatistics

__all__ = ["ROWS_PER_WINDOW", "fold_rows", "follow_policies", "slide_window"]

ROWS_PER_WINDOW: Final = 16
"""An outcome leaves the calibration window after this many windows of outcomes, with or without a confidence."""


def fold_rows(
    s: LearnedStatistics, rows: Sequence[Row], first: int, rules: LearningRules, history: History
) -> None:
    """Fold rows, which are numbers ``first`` and on of ``history``, into the statistics, in place.

    If it raises, the statistics are half folded.
    """
    taught = s.n
    _fold_evidence(s, rows, rules)
    _fold_calibration(s, rows)
    if s.changes is not None:
        s.changes = fold_changes(s.changes, rows, rules)
    errors = confidences = None
    if s.recalibration is not None:
        confidences, errors = fold_recalibration(s.recalibration, rows, rules)
    if s.edge is not None:
        fold_edge(s.edge, rows, rules, confidences)
    _fold_threshold(s, rows, first, taught, rules, history, errors)


def follow_policies(s: LearnedStatistics, rules: LearningRules) -> None:
    """What the rules ask for is learned from here on, and what they do not ask for any more is forgotten."""
    if not rules.recalibration_enabled:
        s.recalibration = None
    elif s.recalibration is None:
        s.recalibration = Recalibration.initial()
    if rules.weight_policy != "edge":
        s.edge = None
    elif s.edge is None:
        s.edge = Edge()


def _fold_evidence(s: LearnedStatistics, rows: Sequence[Row], rules: LearningRules) -> None:
    """Posterior and EMA: ``learning.posterior.add_outcome`` and ``learning.ema.ema_update``."""
    half_life_ns = rules.decay_half_life_seconds * 1e9
    alpha, keep = rules.ema_alpha, 1.0 - rules.ema_alpha
    n, ema, x_sum = s.n, s.ema_accuracy, s.x_sum
    successes, failures, evidence_at_ns, last_at_ns = s.successes, s.failures, s.evidence_at_ns, s.last_at_ns
    for _, at_ns, x, _, _ in rows:
        if x != x:
            continue
        n += 1
        x_sum += x
        ema = alpha * x + keep * ema
        if n == 1:
            successes, failures, evidence_at_ns, last_at_ns = x, 1.0 - x, at_ns, at_ns
            continue
        if at_ns > evidence_at_ns:
            elapsed_ns = at_ns - evidence_at_ns
            factor = math.exp2(-(elapsed_ns / half_life_ns))
            successes, failures = successes * factor + x, failures * factor + (1.0 - x)
            evidence_at_ns = at_ns
        elif at_ns == evidence_at_ns:
            successes, failures = successes + x, failures + (1.0 - x)
        else:
            elapsed_ns = evidence_at_ns - at_ns
            factor = math.exp2(-(elapsed_ns / half_life_ns))
            successes, failures = successes + x * factor, failures + (1.0 - x) * factor
        if at_ns > last_at_ns:
            last_at_ns = at_ns
    s.n, s.ema_accuracy, s.x_sum = n, ema, x_sum
    s.successes, s.failures, s.evidence_at_ns, s.last_at_ns = successes, failures, evidence_at_ns, last_at_ns


def _fold_calibration(s: LearnedStatistics, rows: Sequence[Row]) -> None:
    """Bins and scores over everything: ``learning.calibration.add_to_bins``, ``learning.scores.log_loss``."""
    bins = s.bins
    count, last = len(bins) // FIELDS, len(bins) - FIELDS
    lowest, highest = LOG_LOSS_CLIP, 1.0 - LOG_LOSS_CLIP
    x_squared_sum, log_loss_sum = s.x_squared_sum, s.log_loss_sum
    for _, _, x, confidence, price in rows:
        if confidence != confidence or x != x:
            continue
        place = int(confidence * count) * FIELDS
        if place > last:
            place = last
        bins[place] += 1.0
        bins[place + 1] += confidence
        bins[place + 2] += x
        bins[place + 3] += confidence * confidence
        bins[place + 4] += confidence * x
        x_squared_sum += x * x
        if not lowest <= confidence <= highest:
            log_loss_sum += log_loss(confidence, x)
        elif x == 1.0:
            log_loss_sum += -math.log(confidence)
        elif x == 0.0:
            log_loss_sum += -math.log1p(-confidence)
        else:
            log_loss_sum += log_loss(confidence, x)
        if price == price:
            s.priced += 1
            s.price_brier_sum += brier_loss(price, x)
            s.priced_brier_sum += brier_loss(confidence, x)
    s.x_squared_sum, s.log_loss_sum = x_squared_sum, log_loss_sum


def _fold_threshold(
    s: LearnedStatistics,
    rows: Sequence[Row],
    first: int,
    n: int,
    rules: LearningRules,
    history: History,
    errors: Sequence[float] | None,
) -> None:
    """The threshold relaxes to each row's time, then steps against the error of the calibration window, or the one
    given for each row: ``learning.threshold.relax_threshold`` and ``adjust_threshold``. ``n``: outcomes learned from
    before."""
    size, span = rules.calibration_window, ROWS_PER_WINDOW * rules.calibration_window
    enabled, n_min, rate = rules.enabled, rules.min_predictions_for_adaptation, rules.adjustment_rate
    initial, lowest, highest = rules.initial_threshold, rules.min_threshold, rules.max_threshold
    half_life_ns = rules.relaxation_half_life_seconds * 1e9
    relaxes = 0.0 < half_life_ns < inf
    theta, theta_at_ns, count, error_sum = s.threshold, s.threshold_at_ns, s.window_count, s.window_error_sum
    start, packed, kept_from = s.window_start, history.packed, history.first
    end = first
    for _, at_ns, x, confidence, _ in rows:
        end += 1
        if count and end - start > span:
            start, count, error_sum = _slide(history, start, count, error_sum, size, end)
        if x != x:
            continue
        n += 1
        if n == 1:
            theta_at_ns = at_ns
        if confidence == confidence:
            if count == 0:
                start, error_sum = end - 1, 0.0
            error_sum += confidence - x
            count += 1
            if count > size:
                # As _slide: the oldest leaves, and what is between it and the next that counts.
                while count > size:
                    old_x, old_confidence = unpack_lesson(packed, (start - kept_from) * ROW_BYTES)
                    start += 1
                    if old_x == old_x and old_confidence == old_confidence:
                        error_sum -= old_confidence - old_x
                        count -= 1
        if not enabled:
            continue
        if at_ns > theta_at_ns:
            if relaxes and theta != initial:  # there it stays
                elapsed_ns = at_ns - theta_at_ns
                relaxed = initial + (theta - initial) * math.exp2(-(elapsed_ns / half_life_ns))
                if (theta >= initial) != (relaxed > theta):  # not past where it was, by rounding
                    theta = relaxed
            theta_at_ns = at_ns
        if count and n >= n_min:
            theta += rate * (error_sum / count if errors is None else errors[end - first - 1])
            if theta < lowest:
                theta = lowest
            elif theta > highest:
                theta = highest
    s.threshold, s.threshold_at_ns = theta, theta_at_ns
    s.window_start, s.window_count, s.window_error_sum = start, count, error_sum


def slide_window(s: LearnedStatistics, size: int, history: History, end: int) -> None:
    """Let the oldest outcomes leave the calibration window until it holds at most ``size``, and none from
    before the last ``ROWS_PER_WINDOW · size`` rows: rows without a confidence must not pile up behind it."""
    s.window_start, s.window_count, s.window_error_sum = _slide(
        history, s.window_start, s.window_count, s.window_error_sum, size, end
    )


def _slide(
    history: History, start: int, count: int, error_sum: float, size: int, end: int
) -> tuple[int, int, float]:
    oldest_kept = end - ROWS_PER_WINDOW * size
    packed, kept_from = history.packed, history.first
    while count > size or (count and start < oldest_kept):
        old_x, old_confidence = unpack_lesson(packed, (start - kept_from) * ROW_BYTES)
        start += 1
        if old_x == old_x and old_confidence == old_confidence:
            error_sum -= old_confidence - old_x
            count -= 1
    return start, count, error_sum
