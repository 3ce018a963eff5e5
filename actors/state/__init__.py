"""Pure decisions: event in, new state and effects out; no clock, thread, log or file.

Reading order: :mod:`.entries` (what is journaled), :mod:`.market` (a market and what it teaches),
:mod:`.book` and :mod:`.decisions` (all markets; what becomes of an input), :mod:`.intake` (a batch),
:mod:`.events`, :mod:`.model_state` and :mod:`.views` (one model; :mod:`.recalibrating` and :mod:`.edge` are what it
learns besides where the settings ask for it, :mod:`.acting` what is done with a signal), :mod:`.rebuild` (a model
from its history), :mod:`.id_index` (ids that left memory).
"""
