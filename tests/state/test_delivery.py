from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from handicapper.actors.state.delivery import Deliveries
from handicapper.actors.state.events import Counted, Paused, Reset, Resumed
from handicapper.actors.state.statistics import Tally

from .samples import gate, rules, scored, state_bytes, taught

told = st.lists(
    st.tuples(
        st.sampled_from(["m", "n"]), st.sampled_from(["accepted", "rejected", "ungated", "row", "reset"])
    ),
    max_size=40,
)


@given(told, st.lists(st.booleans(), min_size=40, max_size=40))
@example([("m", "rejected"), ("m", "accepted")], [False] * 40)
@example([("m", "accepted"), ("m", "rejected"), ("m", "reset"), ("m", "rejected")], [False] * 40)
def test_counts_come_out_the_same_wherever_the_batches_end(
    events: list[tuple[str, str]], ends: list[bool]
) -> None:
    """The counts a tally keeps, against counting every prediction on its own."""
    batched = {"m": Tally(), "n": Tally()}
    alone = {"m": [0, 0, 0, 0], "n": [0, 0, 0, 0]}
    out = Deliveries()

    def deliver() -> None:
        for model, delivery in out.finished():
            for event in delivery.events:
                if isinstance(event, Counted):
                    batched[model].count(event)
                elif isinstance(event, Reset):
                    batched[model] = Tally()
        out.clear()

    for seq, ((model, kind), end) in enumerate(zip(events, ends, strict=False), 1):
        mine = alone[model]
        if kind == "reset":
            out.tell(model, Reset(seq), seq)
            alone[model] = [0, 0, 0, 0]
        elif kind == "row":
            out.tell(model, scored(seq, 1.0), seq)
        else:
            out.count(model, None if kind == "ungated" else gate(kind == "accepted"), seq)
            mine[["accepted", "rejected", "ungated"].index(kind)] += 1
            mine[3] = {"accepted": 0, "rejected": mine[3] + 1, "ungated": mine[3]}[kind]
        if end:
            deliver()
    deliver()
    for model, tally in batched.items():
        found = [tally.accepted, tally.rejected, tally.ungated, tally.rejected_in_a_row]
        assert found == alone[model]


def test_delivery_names_the_first_and_last_input_that_touched_the_model() -> None:
    out = Deliveries()
    out.tell("m", Resumed(), 3)
    out.count("m", None, 5)
    out.tell("n", Paused(None, ""), 6)
    (_, m), (_, n) = out.finished()
    assert (m.first_seq, m.seq, n.first_seq, n.seq) == (3, 5, 6, 6)
    assert m.events == [Resumed(), Counted(0, 0, 1, 0)]


def test_delivery_told_again_is_skipped() -> None:
    """A replay may overlap with a snapshot: what was folded is not folded twice."""
    state = taught(rules(), [(1.0, 0.7)] * 3)
    before = state_bytes(state)
    assert not state.apply([scored(3, 1.0, 0.7)], 3)
    assert state_bytes(state) == before
    state.apply([scored(4, 1.0, 0.7)], 4)
    assert state.now.n == 4
