"""What a run has done, and the account of the journal that no crash, snapshot or restart ever interrupted."""

from __future__ import annotations

from handicapper.actors.state.book import Book
from handicapper.actors.state.delivery import Deliveries
from handicapper.actors.state.entries import Entry
from handicapper.actors.state.learners import LearnerState, new_state
from handicapper.actors.state.rebuild import model_history, rebuild_model

from ..state.samples import state_bytes

__all__ = ["Figures", "Uninterrupted"]


class Figures:
    """What was done, and what went wrong."""

    def __init__(self) -> None:
        self.seeds = self.steps = self.crashes = self.inputs = self.acknowledged = 0
        self.duplicates = self.refused = self.snapshots = self.lost = self.double = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in vars(self).items())


class Uninterrupted:
    """The journal, folded input by input by a book that never leaves memory."""

    def __init__(self) -> None:
        self.book = Book()
        self.states: dict[str, LearnerState] = {}
        self.told: dict[str, int] = {}
        self.entries: list[Entry] = []
        self.book.loose.recent.begin(1, self.entries)

    def take(self, entry: Entry) -> None:
        """Fold the next input."""
        out = Deliveries()
        self.entries.append(entry)
        self.book.apply(entry, self.book.seq + 1, out)
        for model_id, delivery in out.finished():
            state = self.states.get(model_id)
            if state is None:
                state = new_state(model_id, self.book.rules_at(delivery.first_seq))
            self.told[model_id] = delivery.seq
            if state.apply(delivery.events, delivery.seq):
                state = self.rebuilt(model_id)
            self.states[model_id] = state

    def rebuilt(self, model_id: str) -> LearnerState:
        """The state from the model's whole corrected history."""
        return rebuild_model(
            model_id,
            model_history(model_id, self.book.all_markets()),
            self.book.controls[model_id],
            self.book.rules_history,
            self.told[model_id],
        )

    def look_back(self) -> None:
        """Once more from the start: each model from its history, and the whole journal as one batch."""
        for model_id, state in self.states.items():
            assert state_bytes(self.rebuilt(model_id)) == state_bytes(state), f"{model_id} rebuilt differs"
        book, out = Book(), Deliveries()
        book.loose.recent.begin(1, self.entries)
        for seq, entry in enumerate(self.entries, 1):
            book.apply(entry, seq, out)
        for model_id, delivery in out.finished():
            state = new_state(model_id, book.rules_at(delivery.first_seq))
            if not state.apply(delivery.events, delivery.seq):
                same = state_bytes(self.states[model_id])
                assert state_bytes(state) == same, f"{model_id} folded as one batch differs"
