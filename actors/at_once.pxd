# A selection among a few, on C's numbers; at_once.py alone says what is done.

cimport cython
from handicapper.actors.learning.draws cimport beta_draw
from handicapper.actors.state.views cimport arm


@cython.locals(
    alpha_key="unsigned long long", beta_key="unsigned long long", first="unsigned long long",
    second="unsigned long long", draw=double, draws=list, samples=list, ineligible=list,
)
cpdef ranked_at_once(lineup, long long as_of, bytes key)
