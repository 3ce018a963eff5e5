"""Makes a state directory as this release writes it, to be kept: every later release must open it.

    .venv/bin/python tests/golden_state/make.py v2

makes ``tests/golden_state/v2`` (what a kill would have left: a snapshot, a journal after it, and the end of that in
the log only) and ``v2.json`` (what was sent, and what had been learned from it, bit for bit). One is made for each
release that writes something else than the one before; ``tests/faults/test_upgrade.py`` finds them by
themselves. None is ever changed or made again, and nothing is written where something is.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from handicapper.actors import Learner
from handicapper.actors.persister import Checkpoint
from handicapper.actors.records import encode
from handicapper.actors.runtime.clock import ManualClock
from handicapper.config import Settings, settings_from_dict
from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

HERE = Path(__file__).parent
T0 = 1_700_000_000_000_000_000
MINUTE = 60 * 10**9
MODELS = ("crowd", "elo", "vegas")
SNAPSHOTS = 9
"""So many that runs of the id index are merged."""
MARKETS_A_SNAPSHOT = 2


def settings(**learning: Any) -> Settings:
    """No snapshot but those asked for; learning rules that are not the shipped ones."""
    tables = {
        "decay_half_life_hours": 24.0,
        "calibration_window": 16,
        "min_predictions_for_adaptation": 4,
        "persistence": {"initial_map_mib": 1, "save_interval_secs": 86_400.0, "idempotency_filter_mib": 1},
    }
    return settings_from_dict({"online_learning": tables | learning})


def prediction(number: int, model: str, **fields: Any) -> Prediction:
    """One of market ``m<number>``."""
    known: dict[str, Any] = {
        "prediction_id": f"{model}-{number}",
        "model_id": model,
        "market_id": f"m{number}",
        "outcome": "HOME" if number % 3 else "AWAY",
        "confidence": (50 + number * 7 % 45) / 100,
        "predicted_at": T0 + number * MINUTE,
    }
    return Prediction(**(known | fields))


def resolution(number: int, **fields: Any) -> MarketResolved:
    """How market ``m<number>`` ended."""
    known: dict[str, Any] = {"market_id": f"m{number}", "resolved_at": T0 + (number + 1) * MINUTE}
    return MarketResolved(**(known | fields))


def outcome(number: int, model: str, **fields: Any) -> TradeOutcome:
    """How the trade on a model's prediction of market ``m<number>`` ended."""
    known: dict[str, Any] = {
        "prediction_id": f"{model}-{number}",
        "model_id": model,
        "predicted_outcome": "HOME" if number % 3 else "AWAY",
        "actual_outcome": "HOME" if number % 2 else "AWAY",
        "resolved_at": T0 + (number + 1) * MINUTE,
    }
    return TradeOutcome(**(known | fields))


class Story:
    """Tells a learner everything it can be told, and keeps what was sent."""

    def __init__(self, learner: Learner, clock: ManualClock) -> None:
        self.learner = learner
        self.clock = clock
        self.inputs: list[Input] = []
        self.signals: list[Prediction] = []

    def record(self, *inputs: Input) -> None:
        self.inputs += inputs
        self.learner.record(inputs)

    def signal(self, prediction: Prediction) -> None:
        self.signals.append(prediction)
        self.learner.process_signal(prediction)

    def ordinary_days(self) -> None:
        """Predictions of every model, signals, resolutions; a snapshot a day."""
        for day in range(SNAPSHOTS):
            first = day * MARKETS_A_SNAPSHOT
            for number in range(first, first + MARKETS_A_SNAPSHOT):
                price = Decimal(40 + number) / 100
                self.record(prediction(number, "crowd", price=price, size=Decimal(10), fee=Decimal("0.25")))
                self.record(
                    prediction(number, "vegas", metadata={"league": "NBA", "round": number, "home": True})
                )
                self.signal(prediction(number, "elo", price=price, size=Decimal("2.5")))
                self.record(resolution(number, winner="HOME" if number % 2 else "AWAY", source="official"))
            self.record(
                outcome(1000 + day, "vegas"), outcome(2000 + day, "crowd", pnl=Decimal(day), confidence=0.6)
            )
            self.learner.snapshot()

    def unusual_days(self) -> None:
        """What happens rarely: in the last snapshot, and once more (other ``numbers``) after it."""
        self._resolutions(100)
        self._trades(200)
        self._operators(300)

    def _resolutions(self, n: int) -> None:
        for number in range(n, n + 8):
            self.record(prediction(number, "crowd"), prediction(number, "vegas"))
        self.record(resolution(n, payouts={"HOME": 0.5, "AWAY": 0.5}))
        self.record(resolution(n + 1, void=True))
        self.record(resolution(n + 2, winner="HOME", status="proposed"))
        self.record(resolution(n + 3, winner="HOME", status="proposed"))
        self.record(resolution(n + 3, winner="HOME", status="disputed"))
        self.record(resolution(n + 4, winner="HOME"), resolution(n + 4, winner="AWAY", revision=1))
        self.record(resolution(n + 5, winner="HOME"), resolution(n + 5, void=True, revision=2))
        self.record(resolution(n + 20, winner="AWAY"))  # before its prediction
        self.record(resolution(n + 21, winner="AWAY"), prediction(n + 21, "crowd"))
        self.record(
            prediction(n + 22, "vegas", expires_at=T0 + (n + 23) * MINUTE)
        )  # of which nobody hears again

    def _trades(self, n: int) -> None:
        self.record(outcome(n, "vegas"), outcome(n + 1, "vegas", pnl=Decimal("-3.75"), confidence=0.7))
        self.record(prediction(n + 2, "crowd"), outcome(n + 2, "crowd"))
        self.record(outcome(n + 2, "crowd", pnl=Decimal("1.50")))
        self.record(outcome(n + 3, "crowd"), prediction(n + 3, "crowd"))
        self.record(outcome(n + 4, "crowd"), prediction(n + 4, "crowd"), resolution(n + 4, winner="AWAY"))
        self.record(outcome(n + 6, "loose only"))

    def _operators(self, n: int) -> None:
        learner = self.learner
        learner.pause("elo", until=T0 + 500 * MINUTE, reason="looks odd")
        self.signal(prediction(n, "elo"))
        learner.resume("elo")
        self.signal(prediction(n + 1, "elo", confidence=0.05))
        self.signal(prediction(n + 2, "elo", confidence=0.99))
        learner.reset("vegas", reason="new version")
        self.record(prediction(n + 3, "vegas"), resolution(n + 3, winner="HOME"))
        learner.pause("crowd", reason="until further notice")

    def after_the_last_snapshot(self) -> None:
        """Taken over from the log, but for the very end."""
        old = resolution(2, winner="HOME", revision=1)
        self.record(old, prediction(400, "crowd"), resolution(400, winner="HOME"), outcome(401, "vegas"))
        self.signal(prediction(402, "elo"))
        self.record(prediction(1003, "vegas"))  # its trade outcome is on disk
        self.learner._engine.persister.ask(Checkpoint(), timeout=60.0)
        self._resolutions(500)
        self._trades(600)
        self._operators(700)


def write(directory: Path, expected: Path) -> None:
    """Live through the story, and keep the directory as it is then."""
    clock = ManualClock(T0)
    with (
        tempfile.TemporaryDirectory() as place,
        Learner(Path(place) / "live", settings(), clock=clock, future_inputs=True) as learner,
    ):
        story = Story(learner, clock)
        story.ordinary_days()
        learner.apply_settings(settings(learn_on="proposed", ema_alpha=0.2))
        story.unusual_days()
        clock.set_wall(T0 + 1_000 * MINUTE)  # what was to expire has
        learner.snapshot()
        story.after_the_last_snapshot()
        keep(learner, Path(place) / "live", directory)
        statistics = learner.statistics()
        told = {
            "seq": statistics.seq,
            "snapshot_seq": statistics.snapshot_seq,
            "pending": statistics.predictions_pending,
            "models": {model: state.hex() for model, state in states(learner)},
            "inputs": msgspec.to_builtins(story.inputs),
            "signals": msgspec.to_builtins(story.signals),
        }
        assert learner.verify().ok
    expected.write_text(json.dumps(told, separators=(",", ":")).replace("},{", "},\n{") + "\n")


def keep(learner: Learner, live: Path, directory: Path) -> None:
    """Copy the files of an open learner that is doing nothing."""
    directory.mkdir()
    learner._engine.store._env.copy(str(directory), compact=True)
    for file in (live / "handicapper.json", *live.glob("journal-*.log")):
        shutil.copy(file, directory / file.name)


def states(learner: Learner) -> Iterator[tuple[str, bytes]]:
    """(model, its whole state) of every model."""
    view: Callable[[Any, int], Any] = lambda state, _: state.to_record()  # noqa: E731
    for summary in learner.models():
        yield summary.model_id, encode(learner._ask(summary.model_id, view, None, 60.0))


def main() -> int:
    """Make the one that is named."""
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    directory, expected = HERE / name, HERE / f"{name}.json"
    if not name.startswith("v") or not name[1:].isdecimal():
        print(f"usage: {sys.argv[0]} vN", file=sys.stderr)
        return 64
    if directory.exists() or expected.exists():
        print(f"{directory} is there: a golden state is never made again", file=sys.stderr)
        return 73
    write(directory, expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
