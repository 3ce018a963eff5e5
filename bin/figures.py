"""What is believed about models, as figures for JSON (full precision) and as cells for a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from ..protocol.messages import CalibrationReport, ModelReport, PoolReport
from .tables import Column, Table, fields_table
from .times import format_time_ns

__all__ = [
    "by_brier",
    "map_text",
    "number",
    "pool_tables",
    "replay_figures",
    "replay_table",
    "report_tables",
]

_NONE = "-"
_CENT = Decimal("0.01")
_REPLAY_FIELDS = (
    *("model_id", "n", "accuracy", "ema_accuracy"),
    *("posterior_alpha", "posterior_beta", "posterior_mean", "posterior_low", "posterior_high"),
    *("effective_sample_size", "probability_best"),
    *("confidence_threshold", "at_wall", "starved", "weight", "adapted", "eligible", "status"),
    *("accepted", "rejected", "shadow", "ungated"),
    *("n_priced", "stake", "pnl", "pnl_traded", "price_brier", "price_skill"),
)


def number(value: float | None, decimals: int = 4) -> str:
    """A figure as a cell; no data is ``-``, never 0.

    >>> number(0.25), number(None), number(12.0, 1)
    ('0.2500', '-', '12.0')
    """
    return _NONE if value is None else f"{value:.{decimals}f}"


def _signed(value: float | None, decimals: int = 4) -> str:
    return _NONE if value is None else f"{value:+.{decimals}f}"


def _money(value: Decimal) -> str:
    return f"{value.quantize(_CENT, ROUND_HALF_EVEN):+f}" if value.adjusted() < 20 else f"{value:+.2E}"


def by_brier(reports: Sequence[ModelReport]) -> list[ModelReport]:
    """Lowest Brier score first; models without one last; ties by id."""

    def key(report: ModelReport) -> tuple[bool, float, str]:
        brier = report.calibration.brier
        return (brier is None, brier or 0.0, report.model_id)

    return sorted(reports, key=key)


def replay_figures(report: ModelReport) -> dict[str, Any]:
    """Every figure of the replay table and its company, unrounded; ``ece`` is over ten bins.

    ``roi_flat`` is the P&L per unit staked, every priced prediction staking the same.
    """
    calibration = report.calibration
    figures: dict[str, Any] = {name: getattr(report, name) for name in _REPLAY_FIELDS}
    figures |= {
        "brier": calibration.brier,
        "brier_reliability": calibration.brier_reliability,
        "brier_resolution": calibration.brier_resolution,
        "brier_uncertainty": calibration.brier_uncertainty,
        "log_loss": calibration.log_loss,
        "ece": calibration.expected_calibration_error,
        "mce": calibration.maximum_calibration_error,
        "signed_error": calibration.signed_error,
        "roi_flat": report.roi,
        "log_wealth": report.log_wealth,
    }
    if (after := report.recalibrated) is not None:
        figures |= {
            "calibration_map": report.calibration_map,
            "recalibrated_brier": after.brier,
            "recalibrated_log_loss": after.log_loss,
            "recalibrated_ece": after.expected_calibration_error,
        }
    return figures


Cell = Callable[[ModelReport], str]

_COLUMNS: tuple[tuple[Column, Cell], ...] = (
    (Column("model", numeric=False), lambda r: r.model_id),
    (Column("n"), lambda r: str(r.n)),
    (Column("accuracy"), lambda r: number(r.accuracy)),
    (Column("Brier"), lambda r: number(r.calibration.brier)),
    (Column("ECE"), lambda r: number(r.calibration.expected_calibration_error)),
    (Column("posterior"), lambda r: number(r.posterior_mean, 3)),
    (Column("90% band"), lambda r: f"{r.posterior_low:.3f}..{r.posterior_high:.3f}"),
    (Column("P(best)"), lambda r: number(r.probability_best, 3)),
    (Column("threshold"), lambda r: ("*" if r.at_wall else "") + number(r.confidence_threshold, 3)),
    (Column("weight"), lambda r: number(r.weight, 3)),
    (Column("accepted"), lambda r: str(r.accepted)),
    (Column("rejected"), lambda r: str(r.rejected)),
    (Column("shadow"), lambda r: str(r.shadow)),
)
_RECALIBRATED_COLUMNS: tuple[tuple[Column, Cell], ...] = (
    (Column("Brier recal."), lambda r: number(r.recalibrated and r.recalibrated.brier)),
    (Column("ECE recal."), lambda r: number(r.recalibrated and r.recalibrated.expected_calibration_error)),
)
_MONEY_COLUMNS: tuple[tuple[Column, Cell], ...] = (
    (Column("P&L"), lambda r: _money(r.pnl) if r.n_priced else _NONE),
    (Column("ROI"), lambda r: _signed(r.roi)),
    (Column("skill"), lambda r: _signed(r.price_skill)),
)


_OF_A_POOL: dict[str, Callable[[PoolReport], str]] = {
    "model": lambda pool: "(pool)",
    "n": lambda pool: str(pool.n),
    "accuracy": lambda pool: number(pool.accuracy),
    "Brier": lambda pool: number(pool.brier),
}


def replay_table(reports: Sequence[ModelReport], pool: PoolReport) -> Table:
    """One line a model, best Brier score first, and one for the pool if it learned anything; the columns of
    recalibration only where it is on, those of money only
    where something had a price.

    A ``*`` before the threshold marks one that rests on its bound.
    """
    columns = _COLUMNS
    if any(report.recalibrated is not None for report in reports):
        columns += _RECALIBRATED_COLUMNS
    if any(report.n_priced for report in reports):
        columns += _MONEY_COLUMNS
    rows = [[cell(report) for _, cell in columns] for report in by_brier(reports)]
    if pool.n:
        of_pool = [_OF_A_POOL.get(column.heading) for column, _ in columns]
        rows.append([_NONE if cell is None else cell(pool) for cell in of_pool])
    return Table("", [column for column, _ in columns], rows)


def report_tables(report: ModelReport) -> list[Table]:
    """Everything about one model: its figures, and its reliability diagram as a table."""
    state = report.status
    if report.paused:
        until = "" if report.paused_until is None else f" until {format_time_ns(report.paused_until)}"
        state += f", paused{until}" + (f" ({report.pause_reason})" if report.pause_reason else "")
    fields = [
        ("model", report.model_id),
        ("as of", format_time_ns(report.as_of)),
        ("status", state),
        ("eligible", _yes(report.eligible)),
        ("outcomes", str(report.n)),
        ("accuracy", number(report.accuracy)),
        ("EMA accuracy", number(report.ema_accuracy)),
        ("posterior", f"Beta({report.posterior_alpha:.3f}, {report.posterior_beta:.3f})"),
        ("evidence ages by", _ageing(report)),
        *_change_fields(report),
        ("posterior mean", number(report.posterior_mean)),
        ("90% band", f"{report.posterior_low:.4f}..{report.posterior_high:.4f}"),
        ("effective sample size", number(report.effective_sample_size, 1)),
        ("P(best)", number(report.probability_best)),
        ("confidence threshold", _threshold(report)),
        ("weight", number(report.weight) + ("" if report.adapted else " (initial)")),
        ("accepted", str(report.accepted)),
        ("rejected", f"{report.rejected} ({report.shadow} scored all the same)"),
        ("recorded without gate", str(report.ungated)),
        *_calibration_fields("", report.calibration),
        *_calibration_fields("recent ", report.recent_calibration),
        *_recalibration_fields(report),
        ("with a price", str(report.n_priced)),
        ("P&L", _money(report.pnl)),
        ("P&L of what was traded", _money(report.pnl_traded)),
        ("ROI", _signed(report.roi)),
        ("Brier score of the price", number(report.price_brier)),
        ("skill against the price", _signed(report.price_skill)),
        *(
            []
            if report.log_wealth is None
            else [("log-wealth against the price", _signed(report.log_wealth))]
        ),
        ("last outcome", _NONE if report.last_outcome_at is None else format_time_ns(report.last_outcome_at)),
    ]
    return [fields_table("", fields), *_reliability(report.calibration)]


def _calibration_fields(prefix: str, calibration: CalibrationReport) -> list[tuple[str, str]]:
    return [
        (f"{prefix}forecasts with confidence", str(calibration.count)),
        (f"{prefix}calibration error", _signed(calibration.signed_error)),
        (f"{prefix}ECE", number(calibration.expected_calibration_error)),
        (f"{prefix}MCE", number(calibration.maximum_calibration_error)),
        (f"{prefix}Brier score", number(calibration.brier)),
        (f"{prefix}log loss", number(calibration.log_loss)),
    ]


def map_text(by: tuple[float, float, float] | None) -> str:
    """What recalibration makes of a confidence c.

    >>> map_text((1.0, 0.5, -0.25)), map_text(None)
    ('1.000 ln c - 0.500 ln(1 - c) - 0.250 (log-odds)', '-')
    """
    if by is None:
        return _NONE
    a, b, m = by
    return f"{a:.3f} ln c - {b:.3f} ln(1 - c) {'-' if m < 0.0 else '+'} {abs(m):.3f} (log-odds)"


def _recalibration_fields(report: ModelReport) -> list[tuple[str, str]]:
    by = report.calibration_map
    if by is None:
        return []
    fields = [("recalibration", map_text(by))]
    return fields + (
        [] if report.recalibrated is None else _calibration_fields("recalibrated ", report.recalibrated)
    )


def _reliability(calibration: CalibrationReport) -> list[Table]:
    if not calibration.bins:
        return []
    columns = [
        Column("confidence", numeric=False),
        Column("n"),
        Column("mean confidence"),
        Column("mean outcome"),
    ]
    rows = [
        [f"{b.lower:.2f}..{b.upper:.2f}", str(b.count), number(b.mean_confidence), number(b.mean_outcome)]
        for b in calibration.bins
        if b.count
    ]
    return [Table("Reliability", columns, rows)]


def _ageing(report: ModelReport) -> str:
    by = "change points" if report.posterior == "changepoint" else "half-life"
    return by if report.posterior_set is None else f"{by} (set by hand)"


def _change_fields(report: ModelReport) -> list[tuple[str, str]]:
    own, shared = report.last_change, report.last_shared_change
    fields: list[tuple[str, str]] = []
    if own is not None:
        to = f"{number(own.before)} to {number(own.after)} (probability {number(own.probability)})"
        fields.append(("last change", f"{format_time_ns(own.changed_at)}, from {to}"))
    if shared is not None:
        fields.append(("last shared change", f"{format_time_ns(shared.changed_at)}, of {shared.model_id}"))
    return fields


def _threshold(report: ModelReport) -> str:
    wall = f" (at its {report.at_wall})" if report.at_wall else ""
    return number(report.confidence_threshold) + wall + (" (starved)" if report.starved else "")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def pool_tables(report: PoolReport) -> list[Table]:
    """What the pool has learned: its own figures beside equal weights, and every model's share."""
    fields = [
        ("markets learned from", str(report.n)),
        ("accuracy", number(report.accuracy)),
        ("Brier score", number(report.brier, 5)),
        ("of equal weights", number(report.equal_brier, 5)),
        ("log loss", number(report.log_loss, 5)),
        ("of equal weights", number(report.equal_log_loss, 5)),
        *((f"by {form}", number(weight)) for form, weight in report.forms.items()),
        ("as of", format_time_ns(report.as_of)),
    ]
    columns = [
        Column("model", numeric=False),
        Column("share"),
        Column("weight"),
        Column("n"),
        Column("repeats", numeric=False),
    ]
    rows = [
        [share.model_id, number(share.share), number(share.weight), str(share.n), share.repeats or _NONE]
        for share in report.shares
    ]
    fields += [
        (f"{ended.model_id} no longer repeats {ended.peer}", format_time_ns(ended.changed_at))
        for ended in report.repeats_ended
    ]
    return [fields_table("", fields), Table("", columns, rows)]
