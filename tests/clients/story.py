"""What every client tells and asks, and what an embedded learner answers to the same.

The games are those of the examples in protocol/examples, so that one learner's answers do for all.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from handicapper.actors import Learner

Call = tuple[str, str, list[Any]]
"""``request``, ``notify`` or ``await``, see :mod:`.driving`; the method; its arguments."""

GAMES = 60
T0 = 1_767_225_600_000_000_000
HOUR = 3_600_000_000_000
LEARNERS_NAMES = {"market_resolved": "resolve_market"}


def elo_confidence(game: int) -> float:
    return (55 + 2 * (game % 10)) / 100


def prediction(
    model: str, game: int, outcome: str = "HOME", confidence: float | None = None
) -> dict[str, Any]:
    """Its fields are in the documented order: the values are the array form."""
    return {
        "prediction_id": f"{model}-{game}",
        "model_id": model,
        "market_id": f"game-{game}",
        "outcome": outcome,
        "confidence": elo_confidence(game) if confidence is None else confidence,
        "predicted_at": T0 + game * HOUR,
    }


def vegas_prediction(game: int) -> dict[str, Any]:
    return prediction("vegas", game, "AWAY" if game % 2 else "HOME", (60 + game % 7) / 100)


def resolution(game: int) -> dict[str, Any]:
    winner = "HOME" if game % 3 else "AWAY"
    return {"market_id": f"game-{game}", "resolved_at": T0 + game * HOUR + HOUR // 2, "winner": winner}


def signal(game: int, confidence: float) -> dict[str, Any]:
    return prediction("elo", game, "HOME", confidence) | {"price": "0.58", "size": "100"}


def lessons() -> list[tuple[str, dict[str, Any]]]:
    """Two predictions of every game, and how it ended."""
    told: list[tuple[str, dict[str, Any]]] = []
    for game in range(GAMES):
        told.append(("record_prediction", prediction("elo", game)))
        told.append(("record_prediction", vegas_prediction(game)))
        told.append(("market_resolved", resolution(game)))
    return told


def questions() -> list[tuple[str, dict[str, Any]]]:
    """Everything is asked as of one event time, so that the answers are facts."""
    as_of = T0 + GAMES * HOUR
    return [
        ("record_prediction", prediction("elo", 0)),
        ("get_adaptive_params", {"model_id": "elo"}),
        ("get_adaptive_params", {"model_id": "vegas"}),
        ("get_adaptive_params", {"model_id": "stranger"}),
        ("thompson_sample", {"n": 3, "as_of": as_of, "selection_id": "first", "seed": 7}),
        ("process_signal", signal(GAMES, 0.8)),
        ("process_signal", signal(GAMES + 1, 0.1)),
        ("report", {"model_id": "vegas", "as_of": as_of}),
    ]


def calls() -> list[Call]:
    """The story as a client with argument lists tells it: one map as the only argument, or the fields as arguments
    (every second message); predictions of vegas as notifications."""
    told: list[Call] = []
    for number, (method, params) in enumerate(lessons()):
        as_map = number % 2 or method == "market_resolved"  # a resolution's fields are not the first ones
        kind = "notify" if params.get("model_id") == "vegas" else "request"
        told.append((kind, method, [params] if as_map else list(params.values())))
    return told + [("request", method, [params]) for method, params in questions()]


class EmbeddedLearner:
    """A learner in this process, called by the names of the wire, answering in the values of the wire."""

    def __init__(self, state_dir: Path) -> None:
        self._learner = Learner(state_dir)

    def __enter__(self) -> EmbeddedLearner:
        return self

    def __exit__(self, *_: object) -> None:
        self._learner.close()

    def call(self, method: str, params: dict[str, Any]) -> Any:
        money = {name: Decimal(params[name]) for name in ("price", "size") if name in params}
        answer = getattr(self._learner, LEARNERS_NAMES.get(method, method))(**params | money)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(answer))

    def listen(self, told: list[Call]) -> list[Any]:
        """What it answers to the requests of a story."""
        answers = [
            (kind, self.call(method, args[0] if isinstance(args[0], dict) else named(args)))
            for kind, method, args in told
        ]
        return [answer for kind, answer in answers if kind == "request"]


def named(args: list[Any]) -> dict[str, Any]:
    return dict(zip(prediction("elo", 0), args, strict=True))
