"""The Lua script that the daemon is measured against does the learner's bookkeeping, to 1e-9.

Every reply and every figure is compared with a real learner's, on a random stream with repeats, contradictions,
late and simultaneous outcomes, and with Redis restarted in the middle.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import ConflictError
from handicapper.protocol.messages import ModelReport, TradeOutcome

from .outcomes import T0, Outcome, outcome_command
from .peers import Redis, missing, start_redis
from .window import RedisReplies, connect, drive

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

MINUTE = 60 * 10**9
MODELS = ("model-0", "model-1", "model-2")
DAY = 24 * 60 * MINUTE


def awkward_stream(seed: int, count: int) -> Iterator[Outcome]:
    """Three models over some weeks; the third is seldom right, the second often without a confidence."""
    chance = random.Random(seed)
    sent: list[Outcome] = []
    now = T0
    for number in range(count):
        if sent and chance.random() < 0.1:
            yield repeated(chance, chance.choice(sent))
            continue
        now += chance.choice((0, 1, 30, 240)) * MINUTE
        late = chance.choice((0, 0, 0, 90 * MINUTE, 20_000 * MINUTE))
        model = chance.randrange(3)
        right = chance.random() < (0.8, 0.6, 0.2)[model]
        bold = chance.choice((0.0, 0.05, 0.1, 0.5, 0.73, 0.9999999, 1.0, chance.random()))
        sent.append(
            Outcome(
                prediction_id=f"p{number}",
                model_id=f"model-{model}",
                predicted="YES",
                actual="YES" if right else "NO",
                resolved_at=now - late,
                pnl=None if chance.random() < 0.3 else f"{chance.randrange(-500, 500) / 100:.2f}",
                confidence=None if chance.random() < (0.0, 0.5, 0.1)[model] else bold,
            )
        )
        yield sent[-1]


def repeated(chance: random.Random, o: Outcome) -> Outcome:
    """The same again, with other details, or as a contradiction."""
    changes: list[dict[str, Any]] = [
        {},
        {"pnl": None},
        {"pnl": "77.25"},
        {"confidence": 0.123, "resolved_at": o.resolved_at + MINUTE},
        {"actual": "VOID"},
        {"model_id": "model-9"},
    ]
    return replace(o, **chance.choice(changes))


def of_learner(learner: Learner, o: Outcome) -> int | None:
    """1 if it was taken in, 0 if it is a duplicate, None if it was refused."""
    outcome = TradeOutcome(
        prediction_id=o.prediction_id,
        model_id=o.model_id,
        predicted_outcome=o.predicted,
        actual_outcome=o.actual,
        resolved_at=o.resolved_at,
        pnl=None if o.pnl is None else Decimal(o.pnl),
        confidence=o.confidence,
    )
    try:
        return 0 if learner.record_outcome(outcome).duplicate else 1
    except ConflictError:
        return None


def of_redis(redis: Redis, script: str, stream: list[Outcome]) -> list[int | None]:
    """The same of a script."""
    replies = RedisReplies()
    commands = [outcome_command(redis.scripts[script], "", o) for o in stream]
    with connect(redis.path) as connection:
        drive(connection, commands, 64, replies)
    return [value if isinstance(value, int) else None for value in replies.values]


def figures_of_report(report: ModelReport) -> dict[str, float]:
    calibration, recent = report.calibration, report.recent_calibration
    assert report.accuracy is not None and recent.signed_error is not None
    assert calibration.brier is not None and calibration.log_loss is not None
    figures = {
        "threshold": report.confidence_threshold,
        "weight": report.weight,
        "ema_accuracy": report.ema_accuracy,
        "alpha": report.posterior_alpha,
        "beta": report.posterior_beta,
        "n": report.n,
        "accuracy": report.accuracy,
        "last_outcome_at": float(report.last_outcome_at or 0),
        "pnl": float(report.pnl),
        "window_count": recent.count,
        "window_error": recent.signed_error,
        "brier": calibration.brier,
        "log_loss": calibration.log_loss,
    }
    for part in calibration.bins:
        figures[f"bin {part.lower:.1f}: count"] = part.count
        figures[f"bin {part.lower:.1f}: mean confidence"] = part.mean_confidence
        figures[f"bin {part.lower:.1f}: mean outcome"] = part.mean_outcome
    return figures


def end_of(stream: list[Outcome]) -> int:
    """A day after the last event."""
    return max(o.resolved_at for o in stream) + DAY


def figures_of_redis(redis: Redis, model_id: str, as_of: int) -> dict[str, float]:
    key = f"m:{model_id}"
    names = ("threshold", "weight", "ema_accuracy", "alpha", "beta")
    packed = redis.ask("EVALSHA", redis.scripts["params"], "1", key, str(as_of))
    figures = dict(zip(names, struct.unpack("<5d", packed), strict=True))
    n, x_sum, *_, last_at, xx_sum, log_loss, _, window_count, window_error, pnl = struct.unpack(
        "<15d", redis.ask("HGET", key, "s")
    )
    bins = {k: struct.unpack("<5d", redis.ask("HGET", key, f"b{k}") or bytes(40)) for k in range(10)}
    with_confidence = sum(count for count, *_ in bins.values())
    figures |= {
        "n": n,
        "accuracy": x_sum / n,
        "last_outcome_at": last_at,
        "pnl": pnl,
        "window_count": window_count,
        "window_error": window_error / window_count,
        "brier": (sum(b[3] - 2 * b[4] for b in bins.values()) + xx_sum) / with_confidence,
        "log_loss": log_loss / with_confidence,
    }
    for k, (count, c, x, *_) in bins.items():
        if count:
            figures[f"bin {k / 10:.1f}: count"] = count
            figures[f"bin {k / 10:.1f}: mean confidence"] = c / count
            figures[f"bin {k / 10:.1f}: mean outcome"] = x / count
    return figures


def test_redis_keeps_the_learners_books_to_1e_9_also_over_a_restart(tmp_path: Path) -> None:
    stream = list(awkward_stream(5, 1_500))
    answers: list[int | None] = []
    for half in (stream[:700], stream[700:]):
        with start_redis(tmp_path / "redis", "always") as redis:
            answers += of_redis(redis, "outcome", half)
            models = sorted(key.decode() for key in redis.ask("SMEMBERS", "models"))
            found = {model: figures_of_redis(redis, model, end_of(stream)) for model in MODELS}
    with Learner(tmp_path / "state") as learner:
        assert answers == [of_learner(learner, o) for o in stream]
        assert models == [f"m:{summary.model_id}" for summary in learner.models()]
        for model, figures in found.items():
            report = learner.report(model, as_of=end_of(stream))
            assert report is not None and report.n > 300 and report.recent_calibration.count == 100
            assert figures == pytest.approx(figures_of_report(report), rel=1e-9, abs=1e-9)
    assert {answers.count(kind) > 10 for kind in (0, 1, None)} == {True}


def test_minimal_redis_agrees_on_accuracy_and_posterior(tmp_path: Path) -> None:
    stream = list(awkward_stream(6, 400))
    first = {o.prediction_id: o for o in reversed(stream)}
    stream = [o for o in stream if first[o.prediction_id] is o]
    with start_redis(tmp_path / "redis", "everysec") as redis:
        assert of_redis(redis, "outcome_minimal", stream + stream[:9]) == [1] * len(stream) + [0] * 9
        minimal = {m: struct.unpack("<4d", redis.ask("GET", f"m:model-{m}")) for m in range(3)}
    with Learner(tmp_path / "state") as learner:
        for o in stream:
            of_learner(learner, o)
        for model, (ema, successes, failures, evidence_at) in minimal.items():
            report = learner.report(f"model-{model}", as_of=round(evidence_at))
            assert report is not None
            expected = (report.ema_accuracy, report.posterior_alpha - 1, report.posterior_beta - 1)
            assert (ema, successes, failures) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_selection_script_gathers_decayed_posteriors_and_ranks_its_draws(tmp_path: Path) -> None:
    stream = list(awkward_stream(7, 600))
    as_of, rounds = end_of(stream), 500
    with start_redis(tmp_path / "redis", "everysec") as redis:
        of_redis(redis, "outcome", stream)
        told = {model: figures_of_redis(redis, model, as_of) for model in MODELS}

        def select(wanted: str, seed: int) -> list[tuple[str, tuple[float, ...]]]:
            answer = redis.ask("EVALSHA", redis.scripts["selection"], "0", str(as_of), str(seed), wanted)
            return [
                (name.decode().removeprefix("m:"), struct.unpack(f"<{len(packed) // 8}d", packed))
                for name, packed in zip(answer[::2], answer[1::2], strict=True)
            ]

        gathered = dict(select("gather", 0))
        for model, figures in told.items():
            assert gathered[model] == pytest.approx((figures["alpha"], figures["beta"]), rel=1e-9)
        sums = dict.fromkeys(gathered, 0.0)
        for seed in range(rounds):
            ranked = select("ranked", seed)
            assert ranked == sorted(ranked, key=lambda one: -one[1][0])
            for model, (draw, alpha, beta) in ranked:
                assert (alpha, beta) == gathered[model]
                sums[model] += draw
        assert select("best", 11) == select("ranked", 11)[:1]
    for model, (alpha, beta) in gathered.items():
        # Six standard errors of the mean of that many draws; the seeds are fixed.
        n = alpha + beta
        error = (alpha * beta / (n * n * (n + 1)) / rounds) ** 0.5
        assert sums[model] / rounds == pytest.approx(alpha / n, abs=6 * error)
