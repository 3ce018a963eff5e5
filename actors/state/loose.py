"""Trade outcomes that came without a prediction: settled by themselves, and kept as small as that allows.

Most traders who tell their outcomes never recorded a prediction, so of most outcomes nothing else is ever
known. Of such a one memory keeps its sequence number, under its prediction's id, and the archive which numbers are
such outcomes (:data:`Spans`): the outcome itself is in the journal, and what wants it again reads it there. Only when
something else is said of its prediction does it become a market of its own (:func:`loose_market`), which can be
merged, amended and stored like any other.

Until the journal can be read, the entries it is to hold are kept here (:class:`RecentEntries`); to let go of them
while they are young costs far less than to keep each one for the snapshot.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from ...protocol.messages import TradeOutcome
from .id_index import IndexRows, fingerprint
from .market import Market, Ticket, loose_market_id, loose_row

__all__ = [
    "Loose",
    "LooseOutcomes",
    "RecentEntries",
    "Spans",
    "in_spans",
    "loose_market",
    "loose_ticket",
    "spans_of",
    "spans_together",
    "spans_without",
]

Loose = tuple[int, TradeOutcome]
"""(sequence number, outcome): the number is the row id, the position and the market's ordinal all in one."""

Spans: TypeAlias = list[tuple[int, int]]
"""Sequence numbers of loose outcomes: (first, last) of each run of neighbours, ascending."""


def loose_ticket(loose: Loose) -> Ticket:
    """The ticket of an outcome of which nothing else is known: settled, and for good until its prediction comes."""
    seq, outcome = loose
    return Ticket(seq, None, None, outcome, seq, loose_row(outcome, seq), seq)


def loose_market(loose: Loose) -> Market:
    """The market of its own that such an outcome has."""
    seq, outcome = loose
    prediction_id = outcome.prediction_id
    return Market(loose_market_id(prediction_id), seq, (), {prediction_id: loose_ticket(loose)})


def spans_of(seqs: Iterable[int]) -> Spans:
    """The spans of ascending sequence numbers.

    >>> spans_of([3, 4, 5, 9])
    [(3, 5), (9, 9)]
    """
    numbers = np.fromiter(seqs, dtype=np.int64)
    if not len(numbers):
        return []
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate(([0], breaks + 1))]
    lasts = numbers[np.concatenate((breaks, [len(numbers) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def spans_without(spans: Spans, ordinals: Sequence[int]) -> Spans:
    """The spans without some numbers, which are ascending.

    >>> spans_without([(3, 5), (9, 9)], [4, 9])
    [(3, 3), (5, 5)]
    """
    left: Spans = []
    for first, last in spans:
        at = first
        for ordinal in ordinals[bisect_left(ordinals, first) : bisect_right(ordinals, last)]:
            if ordinal > at:
                left.append((at, ordinal - 1))
            at = ordinal + 1
        if at <= last:
            left.append((at, last))
    return left


def spans_together(several: Iterable[Spans]) -> Spans:
    """The spans of what is in any of several.

    >>> spans_together([[(1, 4), (9, 9)], [(3, 6)]])
    [(1, 6), (9, 9)]
    """
    together: Spans = []
    for first, last in sorted(span for spans in several for span in spans):
        if together and first <= together[-1][1] + 1:
            together[-1] = (together[-1][0], max(last, together[-1][1]))
        else:
            together.append((first, last))
    return together


def in_spans(spans: Spans, seq: int) -> bool:
    """Whether a number is in the spans.

    >>> in_spans([(3, 5), (9, 9)], 5), in_spans([(3, 5), (9, 9)], 6)
    (True, False)
    """
    place = bisect_right(spans, (seq, 2**63)) - 1
    return place >= 0 and seq <= spans[place][1]


class RecentEntries:
    """Accepted entries by sequence number, as they came: lists of neighbours, the last of which may still grow.

    >>> recent = RecentEntries()
    >>> recent.begin(1, ["a", "b"]); recent.begin(3, ["c"])
    >>> recent.get(2), recent.get(3), recent.get(4)
    ('b', 'c', None)
    >>> recent.forget_through(2); recent.get(2), recent.get(3)
    (None, 'c')
    """

    __slots__ = ("_firsts", "_lists")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lists: list[list[Any]] = []

    def begin(self, first_seq: int, entries: list[Any]) -> None:
        """The entries from ``first_seq`` on, all there are already and those that are going to be appended."""
        self._firsts.append(first_seq)
        self._lists.append(entries)

    def get(self, seq: int) -> Any:
        """The entry of a number; None if it is not here (any more)."""
        place = bisect_right(self._firsts, seq) - 1
        if place < 0:
            return None
        entries, index = self._lists[place], seq - self._firsts[place]
        return entries[index] if index < len(entries) else None

    def forget_through(self, seq: int) -> None:
        """Let go of the lists that end with this number or before it."""
        count = 0
        for first, entries in zip(self._firsts, self._lists, strict=True):
            if not entries or first + len(entries) - 1 > seq:
                break
            count += 1
        del self._firsts[:count], self._lists[:count]

    def let_go(self, pause: Callable[[], object]) -> None:
        """Let go of all of them, a list between two calls of ``pause``."""
        while self._lists:
            del self._firsts[-1], self._lists[-1]
            pause()


class LooseOutcomes:
    """Loose outcomes by prediction id: those since the last cut, and those of the cut that is being saved.

    >>> loose = LooseOutcomes()
    >>> outcome = TradeOutcome(prediction_id="p", model_id="m", predicted_outcome="YES", actual_outcome="NO",
    ...                        resolved_at=0)
    >>> loose.recent.begin(7, [outcome])
    >>> loose.add("p", 7)
    >>> loose.cut(); loose.get("p") == loose.take("p") == (7, outcome), len(loose.fresh), len(loose.saving)
    (True, 0, 1)
    """

    __slots__ = ("found", "fresh", "index", "recent", "saving", "saving_index")

    def __init__(self) -> None:
        self.fresh: dict[str, int] = {}
        """Sequence numbers."""
        self.saving: dict[str, int] = {}
        """As they were at the cut: nothing is taken out before they are durable."""
        self.index = IndexRows()
        """Of all in ``fresh``, and of what was taken out of it."""
        self.saving_index = IndexRows()
        self.recent = RecentEntries()
        """Everything accepted that the journal cannot give yet."""
        self.found: dict[int, TradeOutcome] = {}
        """Outcomes read back from the journal, because an input mentions them."""

    def __len__(self) -> int:
        return len(self.fresh) + len(self.saving)

    def add(self, prediction_id: str, seq: int) -> None:
        """One more."""
        self.fresh[prediction_id] = seq
        self.index.extend((fingerprint(prediction_id),), (seq,))

    def seq_of(self, prediction_id: str) -> int | None:
        """The sequence number of a prediction's loose outcome, if there is one."""
        seq = self.fresh.get(prediction_id)
        return self.saving.get(prediction_id) if seq is None else seq

    def away(self, prediction_id: str) -> int | None:
        """The same, if the outcome has to be read back before anything can be decided of it."""
        seq = self.seq_of(prediction_id)
        return None if seq is None or seq in self.found or self.recent.get(seq) is not None else seq

    def outcome(self, seq: int) -> TradeOutcome:
        """A loose outcome.

        Raises:
            LookupError: it is :meth:`away`.

        """
        outcome = self.found.get(seq) or self.recent.get(seq)
        if type(outcome) is not TradeOutcome:
            raise LookupError(f"the outcome of input {seq} is in the journal only, and was not read back")
        return outcome

    def get(self, prediction_id: str) -> Loose | None:
        """The loose outcome of a prediction, if there is one. A cut's may be a market by now: look there first."""
        seq = self.seq_of(prediction_id)
        return None if seq is None else (seq, self.outcome(seq))

    def take(self, prediction_id: str) -> Loose | None:
        """The same, for it to become a market; what is being saved is saved as it was."""
        loose = self.get(prediction_id)
        self.fresh.pop(prediction_id, None)
        return loose

    def cut(self) -> None:
        """What there is now is to be saved."""
        assert not self.saving, len(self.saving)
        self.saving, self.fresh = self.fresh, {}
        self.saving_index, self.index = self.index, IndexRows()

    def not_saved(self, known: dict[str, Any]) -> None:
        """The cut could not be saved: all of it is to be saved next time, but for what is ``known`` as a market."""
        still = {name: seq for name, seq in self.saving.items() if name not in known}
        still.update(self.fresh)
        self.saving, self.fresh = {}, still
        self.saving_index.extend(self.index.fingerprints, self.index.ordinals)
        self.index, self.saving_index = self.saving_index, IndexRows()

    def leave_some(self, count_max: int) -> int:
        """The cut is durable: forget so many of it; returns how many that were."""
        saving = self.saving
        count = min(count_max, len(saving))
        for _ in range(count):
            # One by one: to let go of 200,000 at once would take as long as all the rest of a snapshot.
            saving.popitem()
        return count

    def seqs(self, known: dict[str, Any]) -> list[int]:
        """The numbers of all that are not ``known`` as a market, ascending."""
        return [*(seq for name, seq in self.saving.items() if name not in known), *self.fresh.values()]

    def items(self, known: dict[str, Any]) -> Iterator[Loose]:
        """The same outcomes, none of which may be :meth:`away`."""
        return ((seq, self.outcome(seq)) for seq in self.seqs(known))
