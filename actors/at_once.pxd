# A selection in one go, on C's numbers; at_once.py alone says what is done.

cimport cython
from handicapper.actors.learning.draws cimport beta_draw
from handicapper.actors.state.views cimport arm

cdef object _NOTHING


@cython.locals(
    alpha_key="unsigned long long", beta_key="unsigned long long", first="unsigned long long",
    second="unsigned long long", draw=double, draws=list, samples=list,
    ineligible=list,
)
cdef _few(lineup, long long as_of, bytes key)


@cython.locals(
    places=list, alphas=list, betas=list, ineligible=list, names=list, draws=list, place="Py_ssize_t",
)
cdef _many(lineup, long long as_of, bytes key)


cdef _ask(cell, acquire, release, mail, long long as_of)
