"""Settings: frozen, typed, strict; the shipped TOML explains every key.

Read in this order: :mod:`.settings` (every key, its default, range and meaning), :mod:`.schema` (the same,
as data), :mod:`.checking` (every problem at once), :mod:`.loading` (files and text in), :mod:`.rendering`
(documentation and TOML out).
"""

from __future__ import annotations

from .loading import check_settings, default_settings, load_settings, parse_settings, settings_from_dict
from .pool_table import Pool
from .rendering import SettingDoc, describe_settings, settings_to_dict, settings_to_toml, shipped_toml
from .rules import LearningRules, PoolRules
from .settings import (
    Limits,
    Persistence,
    Recalibration,
    Server,
    Settings,
    Sizing,
    Supervision,
    ThompsonSampling,
    Thresholds,
    Weights,
)

__all__ = [
    "LearningRules",
    "Limits",
    "Persistence",
    "Pool",
    "PoolRules",
    "Recalibration",
    "Server",
    "SettingDoc",
    "Settings",
    "Sizing",
    "Supervision",
    "ThompsonSampling",
    "Thresholds",
    "Weights",
    "check_settings",
    "default_settings",
    "describe_settings",
    "load_settings",
    "parse_settings",
    "settings_from_dict",
    "settings_to_dict",
    "settings_to_toml",
    "shipped_toml",
]
