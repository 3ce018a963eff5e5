from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.bin.errors import InputDataError
from handicapper.bin.rows import Row, read_rows
from handicapper.bin.stream import EventStream, PredictionBatch, merge_rows
from handicapper.protocol.messages import Prediction

from .streams import hour, line, text


def stream_of(*contents: str, batch_items_max: int = 1024) -> EventStream:
    inputs = [
        read_rows(io.StringIO(content), f"{index}.csv") for index, content in enumerate(contents, start=1)
    ]
    return EventStream(merge_rows(inputs), batch_items_max=batch_items_max)


def described(stream: EventStream) -> list[str]:
    """The batches as short texts: ids of predictions, ``event=winner`` of resolutions."""
    told = []
    for batch in stream:
        if isinstance(batch, PredictionBatch):
            told.append(" ".join(p.prediction_id for p in batch.items))
        else:
            told.append(" ".join(f"{r.market_id}={r.winner}" for r in batch.items))
        assert len(batch.items) == len(batch.places)
    return told


def test_a_resolution_waits_for_its_time_and_goes_before_predictions_of_that_instant():
    content = text(
        [
            line("e1", hour(0), hour(5), actual="NO"),
            line("e2", hour(1), hour(3)),
            line("e3", hour(4), hour(9)),
            line("e4", hour(5), hour(6)),
        ]
    )
    stream = stream_of(content)
    assert described(stream) == ["e1/elo e2/elo", "e2=YES", "e3/elo", "e1=NO", "e4/elo", "e4=YES e3=YES"]
    assert (stream.rows, stream.events, stream.resolutions) == (4, 4, 4)
    assert stream.unresolved_events == 0
    assert stream.last_event_at == (1704067200 + 9 * 3600) * 10**9


def test_resolutions_of_one_instant_go_in_order_of_first_appearance():
    content = text([line(f"e{index}", hour(0), hour(5)) for index in (3, 1, 2)])
    assert described(stream_of(content))[1] == "e3=YES e1=YES e2=YES"


def test_several_inputs_are_merged_by_time_and_ties_by_the_order_given():
    first = text([line("e1", hour(0)), line("e2", hour(2))])
    second = text([line("e1", hour(0), model="k29"), line("e3", hour(1))])
    assert described(stream_of(first, second))[0] == "e1/elo e1/k29 e3/elo e2/elo"


def test_batches_are_cut_at_their_bound():
    content = text([line(f"e{index}") for index in range(5)])
    told = described(stream_of(content, batch_items_max=2))
    assert told == ["e0/elo e1/elo", "e2/elo e3/elo", "e4/elo", "e0=YES e1=YES", "e2=YES e3=YES", "e4=YES"]


def test_events_without_resolution_are_counted_as_unresolved():
    stream = stream_of(
        text(
            [line("e1", resolved="", actual=""), line("e2"), line("e1", resolved="", actual="", model="k29")]
        )
    )
    described(stream)
    assert (stream.unresolved_events, stream.unresolved_predictions) == (1, 2)


@pytest.mark.parametrize(
    ("column", "second", "said"),
    [
        (
            "actual",
            line(model="k29", actual="NO"),
            "of event 'e1' was 'YES' at 1.csv, line 2, and is 'NO' here",
        ),
        ("actual", line(model="k29", resolved="", actual=""), "and is None here"),
        (
            "resolved_at",
            line(model="k29", resolved=hour(6)),
            f"was '{hour(5)}' at 1.csv, line 2, and is '{hour(6)}' here",
        ),
        ("model_id", line(confidence="0.7"), "model 'elo' already has a row for event 'e1'"),
    ],
)
def test_rows_that_disagree_about_an_event_are_refused_at_the_later_line(column, second, said):
    with pytest.raises(InputDataError) as caught:
        described(stream_of(text([line()]), text([second])))
    assert (caught.value.source, caught.value.line, caught.value.column) == ("2.csv", 2, column)
    assert said in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=40), st.integers(1, 7))
def test_any_stream_is_in_the_order_of_a_plain_sort(events, batch_items_max):
    events.sort(key=lambda event: event[0])
    rows = [
        Row(
            at,
            Prediction(
                prediction_id=f"{index}",
                model_id="m",
                market_id=f"{index}",
                outcome="YES",
                confidence=0.5,
                predicted_at=at,
            ),
            at + open_for,
            "YES",
            "a.csv",
            index + 2,
        )
        for index, (at, open_for) in enumerate(events)
    ]
    handed_out = []
    for batch in EventStream(rows, batch_items_max=batch_items_max):
        assert 0 < len(batch.items) <= batch_items_max
        kind = 1 if isinstance(batch, PredictionBatch) else 0
        for item in batch.items:
            at = item.predicted_at if isinstance(item, Prediction) else item.resolved_at
            handed_out.append((at, kind, int(item.market_id)))
    expected = [(at, 1, index) for index, (at, _) in enumerate(events)]
    expected += [(at + open_for, 0, index) for index, (at, open_for) in enumerate(events)]
    assert handed_out == sorted(expected)
