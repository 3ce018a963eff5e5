"""``handicapper simulate``: a seeded synthetic stream, in the format ``replay`` reads.

Every market has a true probability p, with logit p drawn from N(0, 1.2²). A model sees logit p through
noise and states its belief, more or less sharply:

    belief = logistic(sharpness · (logit p + N(0, noise²)))

A calibrated sharpness shrinks by what the noise is worth, 1.2² / (1.2² + noise²). One model, ``turncoat``,
is as good as the best until it turns bad: from then on its beliefs are as bold as before and have nothing
to do with the market. The price is logit p through noise of its own.

Each model and the markets have generators of their own, so one more model changes nothing of the others.
"""

from __future__ import annotations

import gzip
import io
import math
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import click

from .errors import OutputUnwritableError
from .rows import COLUMNS

__all__ = ["simulate", "simulate_command"]

_LOGIT_SD = 1.2
_FIRST_MARKET = datetime(2024, 1, 1, tzinfo=UTC)
_RESOLVES_AFTER_HOURS = (2, 36)


class _Character(NamedTuple):
    name: str
    noise: float
    boldness: float = 1.0
    """Factor on the calibrated sharpness: above 1 overconfident, below 1 underconfident."""
    turns_bad: bool = False


_CHARACTERS = (
    _Character("steady", noise=0.3),
    _Character("turncoat", noise=0.3, turns_bad=True),
    _Character("noisy", noise=1.5),
    _Character("overconfident", noise=0.6, boldness=2.0),
    _Character("underconfident", noise=0.6, boldness=0.5),
)


def _characters(models: int) -> list[_Character]:
    """The first ``models`` characters; a further round of them sees through more noise."""
    made: list[_Character] = []
    for index in range(models):
        round_, which = divmod(index, len(_CHARACTERS))
        base = _CHARACTERS[which]
        if round_:
            base = base._replace(name=f"{base.name}_{round_ + 1}", noise=base.noise + 0.2 * round_)
        made.append(base)
    return made


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def simulate(
    *,
    models: int = 5,
    markets: int = 2000,
    seed: int = 7,
    turn_bad_at: float = 0.5,
    price_noise: float = 0.25,
) -> Iterator[str]:
    """Yield the lines of a CSV stream, header first; equal arguments give equal bytes.

    A market opens every hour and resolves 2 to 36 hours later, so that many are open at once.

    Args:
        models: How many models predict every market.
        markets: How many markets.
        seed: Of all random numbers.
        turn_bad_at: Fraction of the markets after which ``turncoat`` turns bad, 0..1; 1: never.
        price_noise: Standard deviation of the price's error in logit p; 0: the price is p.

    >>> lines = list(simulate(models=2, markets=1, seed=7))
    >>> len(lines), lines[1].split(",")[:4]
    (3, ['sim-000001', '2024-01-01T00:00:00Z', '2024-01-01T08:00:00Z', 'steady'])
    """
    yield ",".join(COLUMNS) + "\n"
    characters = _characters(models)
    markets_rng = random.Random(f"{seed}/markets")
    model_rngs = [random.Random(f"{seed}/model/{character.name}") for character in characters]
    turn = turn_bad_at * markets
    for index in range(markets):
        logit = markets_rng.gauss(0.0, _LOGIT_SD)
        actual = "YES" if markets_rng.random() < _logistic(logit) else "NO"
        yes_price = _logistic(logit + price_noise * markets_rng.gauss(0.0, 1.0))
        opened = _FIRST_MARKET + timedelta(hours=index)
        resolved = opened + timedelta(hours=markets_rng.randint(*_RESOLVES_AFTER_HOURS))
        event = f"sim-{index + 1:06d},{opened:%Y-%m-%dT%H:%M:%SZ},{resolved:%Y-%m-%dT%H:%M:%SZ}"
        for character, rng in zip(characters, model_rngs, strict=True):
            belief = _belief(character, logit, rng, bad=character.turns_bad and index >= turn)
            label, confidence = ("YES", belief) if belief >= 0.5 else ("NO", 1.0 - belief)
            price = yes_price if label == "YES" else 1.0 - yes_price
            confidence, price = min(confidence, 0.9999), min(max(price, 0.01), 0.99)
            yield f"{event},{character.name},{label},{confidence:.4f},{price:.4f},{actual}\n"


def _belief(character: _Character, logit: float, rng: random.Random, *, bad: bool) -> float:
    """The model's probability of YES. Takes the same two numbers from ``rng`` whether bad or not."""
    noise, elsewhere = rng.gauss(0.0, 1.0), rng.gauss(0.0, _LOGIT_SD)
    seen = (elsewhere if bad else logit) + character.noise * noise
    calibrated = _LOGIT_SD**2 / (_LOGIT_SD**2 + character.noise**2)
    return _logistic(character.boldness * calibrated * seen)


@click.command("simulate", short_help="Write a synthetic stream of predictions and outcomes.")
@click.option("--models", type=click.IntRange(1, 10_000), default=5, show_default=True)
@click.option("--markets", type=click.IntRange(1, 10_000_000), default=2000, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Equal seeds give equal bytes.")
@click.option(
    "--turn-bad-at",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Fraction of the markets after which the model 'turncoat' turns bad; 1: never.",
)
@click.option(
    "--price-noise",
    type=click.FloatRange(0, 10),
    default=0.25,
    show_default=True,
    help="Standard deviation of the price's error, in log odds; 0: the price is the true probability.",
)
@click.option("--out", metavar="FILE", default="-", show_default=True, help="Where to; .gz compresses.")
def simulate_command(
    models: int, markets: int, seed: int, turn_bad_at: float, price_noise: float, out: str
) -> None:
    """Write a seeded synthetic stream in the CSV format of replay.

    Its models are calibrated, noisy, overconfident and underconfident; one is good and turns bad.
    Try: handicapper simulate | handicapper replay -
    """
    lines = simulate(
        models=models, markets=markets, seed=seed, turn_bad_at=turn_bad_at, price_noise=price_noise
    )
    if out == "-":
        sys.stdout.writelines(lines)
        return
    try:
        _write(out, lines)
    except OSError as error:
        raise OutputUnwritableError(f"cannot write {out}: {error.strerror or error}") from error


def _write(path: str, lines: Iterable[str]) -> None:
    with open(path, "wb") as file:
        if not path.endswith(".gz"):
            with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
                text.writelines(lines)
            return
        # No name and no time in the header, so that equal seeds give equal bytes here too.
        packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0)
        with io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
            text.writelines(lines)
