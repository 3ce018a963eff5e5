from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from handicapper.bin.errors import InputDataError
from handicapper.bin.rows import COLUMNS, read_rows

from .streams import HEADER, hour, line, text


def rows_of(content: str, stake: Decimal = Decimal(1)):
    return list(read_rows(io.StringIO(content, newline=""), "a.csv", stake))


def refusal(content: str) -> InputDataError:
    with pytest.raises(InputDataError) as caught:
        rows_of(content)
    return caught.value


def test_a_row_becomes_a_prediction_of_its_event_and_model():
    (row,) = rows_of(text([line(price="0.4")]))
    prediction = row.prediction
    assert prediction.prediction_id == "e1/elo"
    assert prediction.market_id == "e1"
    assert prediction.outcome == "YES"
    assert prediction.confidence == 0.6
    assert prediction.price == Decimal("0.4")
    assert prediction.size == Decimal("2.5")
    assert prediction.predicted_at == row.predicted_at == 1704067200 * 10**9
    assert row.resolved_at == row.predicted_at + 5 * 3600 * 10**9
    assert (row.actual, row.source, row.line) == ("YES", "a.csv", 2)


def test_columns_in_any_order_with_extra_ones_give_the_same_rows():
    values = dict(zip(COLUMNS, line().split(","), strict=True)) | {"note": '"a, b"', "": "x"}
    shuffled = sorted(values)
    content = ",".join(shuffled) + "\n" + ",".join(values[name] for name in shuffled) + "\n"
    assert rows_of(content) == rows_of(text([line()]))


def test_a_stake_buys_stake_over_price_claims():
    (row,) = rows_of(text([line(price="0.3")]), Decimal(50))
    assert row.prediction.size == Decimal("166.666666666667")


def test_an_empty_price_means_no_price_and_no_size():
    (row,) = rows_of(text([line(price="")]))
    assert row.prediction.price is None
    assert row.prediction.size is None


def test_an_event_without_resolution_is_open():
    (row,) = rows_of(text([line(resolved="", actual="")]))
    assert row.resolved_at is None
    assert row.actual is None


def test_quoted_fields_blank_lines_crlf_and_byte_order_mark_are_read():
    quoted = line(event='"e,1"').replace("elo", '"e""lo"')
    content = f"{HEADER}\r\n\r\n{quoted}\r\n"
    (row,) = rows_of(content)
    assert row.prediction.prediction_id == 'e,1/e"lo'
    assert row.line == 3


@pytest.mark.parametrize(
    ("column", "changed", "said"),
    [
        ("event_id", {"event": ""}, "an id of 1 to 256 bytes"),
        ("event_id", {"event": "e\x07"}, "without control characters"),
        ("event_id", {"event": "e" * 250, "model": "m" * 10}, "with the model's"),
        ("model_id", {"model": "m" * 300}, "an id of 1 to 256 bytes"),
        ("predicted_at", {"predicted": "2024-01-01"}, "an ISO 8601 time with Z or an offset"),
        ("resolved_at", {"resolved": "soon"}, "an ISO 8601 time with Z or an offset"),
        ("resolved_at", {"resolved": hour(0)}, "look-ahead"),
        ("resolved_at", {"resolved": ""}, "both resolved_at and actual"),
        ("actual", {"actual": ""}, "both resolved_at and actual"),
        ("outcome_label", {"label": ""}, "an outcome label of 1 to 64 bytes"),
        ("confidence", {"confidence": "1.5"}, "a number from 0 to 1"),
        ("confidence", {"confidence": "nan"}, "a number from 0 to 1"),
        ("confidence", {"confidence": "-0.1"}, "a number from 0 to 1"),
        ("confidence", {"confidence": "0_1"}, "a number from 0 to 1"),
        ("confidence", {"confidence": ""}, "a number from 0 to 1"),
        ("price", {"price": "0"}, "a price above 0 and at most 1"),
        ("price", {"price": "1.01"}, "a price above 0 and at most 1"),
        ("price", {"price": "inf"}, "a price above 0 and at most 1"),
        ("price", {"price": "1e-17"}, "buys fewer than"),
        ("price", {"price": "0.1234567890123456789"}, "at most 18 decimals"),
    ],
)
def test_a_wrong_field_is_named_with_file_line_and_column(column, changed, said):
    error = refusal(text([line(event="e0"), line(**changed)]))
    assert (error.source, error.line, error.column) == ("a.csv", 3, column)
    assert said in str(error)
    assert str(error).startswith(f"INPUT_INVALID a.csv, line 3, column {column}: was ")


def test_rows_going_back_in_time_are_refused_with_both_lines():
    error = refusal(text([line(predicted=hour(2)), line(event="e2", predicted=hour(1))]))
    assert (error.line, error.column) == (3, "predicted_at")
    assert "earlier than line 2" in str(error)


def test_a_missing_column_is_named_with_the_one_that_may_be_it():
    error = refusal(text([], header=HEADER.replace("confidence", "Confidence").replace(",price", "")))
    assert "no column confidence (is it 'Confidence'?), price;" in str(error)
    assert error.line == 1


def test_a_column_given_twice_is_refused():
    assert "the column price 2 times" in str(refusal(text([], header=HEADER + ",price")))


def test_an_empty_file_is_refused():
    assert "is empty; expected a header line" in str(refusal(""))


def test_a_file_with_a_header_alone_has_no_rows():
    assert rows_of(text([])) == []


@pytest.mark.parametrize("bad", [line() + ",more", line().rsplit(",", 1)[0]])
def test_a_line_of_another_width_is_refused(bad):
    error = refusal(text([line(), bad]))
    assert "fields; the header has 8" in str(error)
    assert error.line == 3


def test_a_malformed_quote_is_refused_at_its_line():
    error = refusal(text([line(), '"e2"x' + line(event="")]))
    assert "not a CSV line" in str(error)
    assert error.line == 3


def test_a_field_beyond_the_csv_limit_is_refused():
    assert "not a CSV line" in str(refusal(text([line(event="e" * (csv.field_size_limit() + 1))])))


def test_more_texts_than_the_memo_keeps_are_all_read(monkeypatch):
    monkeypatch.setattr("handicapper.bin.rows._MEMO_ENTRIES_MAX", 3)
    confidences = [index / 100 for index in range(40)]
    rows = rows_of(text([line(event=f"e{i}", confidence=str(c)) for i, c in enumerate(confidences)]))
    assert [row.prediction.confidence for row in rows] == confidences
