"""Trade outcomes that came without a prediction: settled by themselves, and kept as small as that allows.

Most traders who tell their outcomes never recorded a prediction, so of most outcomes nothing else is ever
known. Such a one is kept as (sequence number, outcome); only when something else is said of its prediction does
it become a market of its own (:func:`loose_market`), which can be merged, amended and stored like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...protocol.messages import TradeOutcome
from .market import Market, Ticket, loose_market_id, loose_row

__all__ = ["Loose", "LooseOutcomes", "loose_market", "loose_ticket"]

Loose = tuple[int, TradeOutcome]
"""(sequence number, outcome): the number is the row id, the position and the market's ordinal all in one."""


def loose_ticket(loose: Loose) -> Ticket:
    """The ticket of an outcome of which nothing else is known: settled, and for good until its prediction comes."""
    seq, outcome = loose
    return Ticket(seq, None, None, outcome, seq, loose_row(outcome, seq), seq)


def loose_market(loose: Loose) -> Market:
    """The market of its own that such an outcome has."""
    seq, outcome = loose
    prediction_id = outcome.prediction_id
    return Market(loose_market_id(prediction_id), seq, (), {prediction_id: loose_ticket(loose)})


class LooseOutcomes:
    """Loose outcomes by prediction id: those since the last cut, and those of the cut that is being saved.

    >>> loose = LooseOutcomes()
    >>> outcome = TradeOutcome(prediction_id="p", model_id="m", predicted_outcome="YES", actual_outcome="NO",
    ...                        resolved_at=0)
    >>> loose.fresh["p"] = (7, outcome)
    >>> loose.cut(); loose.get("p")[0], loose.take("p")[0], len(loose.fresh), len(loose.saving)
    (7, 7, 0, 1)
    """

    __slots__ = ("fresh", "saving")

    def __init__(self) -> None:
        self.fresh: dict[str, Loose] = {}
        self.saving: dict[str, Loose] = {}
        """As they were at the cut: nothing is taken out before they are durable."""

    def __len__(self) -> int:
        return len(self.fresh) + len(self.saving)

    def get(self, prediction_id: str) -> Loose | None:
        """The loose outcome of a prediction, if there is one. A cut's may be a market by now: look there first."""
        return self.fresh.get(prediction_id) or self.saving.get(prediction_id)

    def take(self, prediction_id: str) -> Loose | None:
        """The same, for it to become a market; what is being saved is saved as it was."""
        return self.fresh.pop(prediction_id, None) or self.saving.get(prediction_id)

    def cut(self) -> None:
        """What there is now is to be saved."""
        assert not self.saving, len(self.saving)
        self.saving, self.fresh = self.fresh, {}

    def not_saved(self, known: dict[str, Any]) -> None:
        """The cut could not be saved: all of it is to be saved next time, but for what is ``known`` as a market."""
        still = {name: loose for name, loose in self.saving.items() if name not in known}
        still.update(self.fresh)
        self.saving, self.fresh = {}, still

    def leave_some(self, count_max: int) -> int:
        """The cut is durable: forget so many of it; returns how many that were."""
        saving = self.saving
        count = min(count_max, len(saving))
        for _ in range(count):
            # One by one: to let go of 200,000 at once would take as long as all the rest of a snapshot.
            saving.popitem()
        return count

    def items(self, known: dict[str, Any]) -> Iterator[Loose]:
        """All that are not ``known`` as a market, oldest first."""
        for name, loose in self.saving.items():
            if name not in known:
                yield loose
        yield from self.fresh.values()
