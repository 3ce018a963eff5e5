"""What one batch of entries has to tell each model, gathered so that each model gets one message."""

from __future__ import annotations

from msgspec import Struct

from .entries import Gate
from .events import Counted, ModelEvent, Reset

__all__ = ["Deliveries", "Delivery"]


class Delivery(Struct):
    """Events for one model, in order, from the first to the last input that touched it."""

    first_seq: int
    seq: int
    events: list[ModelEvent]
    accepted: int = 0
    rejected: int = 0
    ungated: int = 0
    rejected_last: int = 0

    def flush(self) -> None:
        """Turn the counts so far into an event, so that they keep their place in the order."""
        if self.accepted or self.rejected or self.ungated:
            self.events.append(Counted(self.accepted, self.rejected, self.ungated, self.rejected_last))
            self.accepted = self.rejected = self.ungated = self.rejected_last = 0


class Deliveries(dict[str, Delivery]):
    """Model id → what it is to be told.

    >>> out = Deliveries()
    >>> out.count("m", None, 1); out.count("m", None, 2)
    >>> [(model, delivery.seq, delivery.events) for model, delivery in out.finished()]
    [('m', 2, [Counted(accepted=0, rejected=0, ungated=2, rejected_last=0)])]
    """

    def tell(self, model_id: str, event: ModelEvent, seq: int) -> None:
        """Add an event. Counts gathered so far go before a reset; before anything else they may wait."""
        delivery = self.get(model_id)
        if delivery is None:
            self[model_id] = Delivery(seq, seq, [event])
            return
        if type(event) is Reset:
            delivery.flush()
        delivery.seq = seq
        delivery.events.append(event)

    def count(self, model_id: str, gate: Gate | None, seq: int) -> None:
        """Count a recorded prediction."""
        delivery = self.get(model_id)
        if delivery is None:
            delivery = self[model_id] = Delivery(seq, seq, [])
        delivery.seq = seq
        if gate is None:
            delivery.ungated += 1
        elif gate.accepted:
            delivery.accepted += 1
            delivery.rejected_last = 0
        else:
            delivery.rejected += 1
            delivery.rejected_last += 1

    def finished(self) -> list[tuple[str, Delivery]]:
        """Everything, with the last counts turned into events."""
        for delivery in self.values():
            delivery.flush()
        return list(self.items())
