"""The pool: one probability per outcome from many models, and the share of each model in it.

A model is judged on events, beside the other models that forecast the same event. An event is a market
that resolved: its forecasts and how it paid. Pure and deterministic: the same events in the same order
give bit for bit the same state, whatever the order of the forecasts within an event.

==================  =====================================================================
:mod:`.table`       from forecasts to one distribution per model
:mod:`.share_rule`  exponential weights with fixed share among those that forecast
:mod:`.forms`       the linear, the log-odds and the corrected pool; disagreement
:mod:`.state`       what is kept, and the rules
:mod:`.pool`        ``combine``, ``learn``, ``shares``, ``relative_weights``
==================  =====================================================================
"""

from .forms import softmax
from .pool import Combined, Judged, combine, learn, relative_weights, shares
from .share_rule import ShareRule
from .state import DEFAULT_RULES, FORMS, Pool, PoolRules, Standing, copy_pool, new_pool
from .table import Forecast

__all__ = [
    "DEFAULT_RULES",
    "FORMS",
    "Combined",
    "Forecast",
    "Judged",
    "Pool",
    "PoolRules",
    "ShareRule",
    "Standing",
    "combine",
    "copy_pool",
    "learn",
    "new_pool",
    "relative_weights",
    "shares",
    "softmax",
]
