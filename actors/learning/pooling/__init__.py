"""The pool: one probability per outcome from many models, and the share of each model in it.

A model is judged on events, beside the other models that forecast the same event. An event is a market
that resolved: its forecasts and how it paid. Pure and deterministic: the same events in the same order
give bit for bit the same state, whatever the order of the forecasts within an event.

==================  =====================================================================
:mod:`.table`       from forecasts to one distribution per model
:mod:`.share_rule`  exponential weights with fixed share among those that forecast
:mod:`.forms`       the linear, the log-odds and the corrected pool; disagreement
:mod:`.pieces`      a long computation in pieces
:mod:`.in_pieces`   ``combine`` as one
:mod:`.state`       what is kept, and the rules
:mod:`.pool`        ``combine``, ``learn``, ``shares``, ``relative_weights``
==================  =====================================================================
"""

from .forms import softmax
from .in_pieces import combine_in_pieces
from .pieces import PIECE_CELLS, Pieces, slices, sorted_in_pieces, whole
from .pool import Combined, Judged, combine, learn, relative_weights, shares
from .share_rule import ShareRule
from .state import DEFAULT_RULES, FORMS, Pool, PoolRules, Standing, copy_pool, excerpt, new_pool
from .table import Forecast

__all__ = [
    "DEFAULT_RULES",
    "FORMS",
    "PIECE_CELLS",
    "Combined",
    "Forecast",
    "Judged",
    "Pieces",
    "Pool",
    "PoolRules",
    "ShareRule",
    "Standing",
    "combine",
    "combine_in_pieces",
    "copy_pool",
    "excerpt",
    "learn",
    "new_pool",
    "relative_weights",
    "shares",
    "slices",
    "softmax",
    "sorted_in_pieces",
    "whole",
]
