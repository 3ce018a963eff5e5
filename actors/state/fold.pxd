# What the loops of fold.py are made of where they are compiled; fold.py alone says what they do.
#
# Event times are of 1900 to 2200 in ns (protocol.values) and fit a signed word. C's functions are those that the
# module math calls; its divisions are checked for zero as Python's are.

cimport cython
from libc cimport math


@cython.locals(
    half_life_ns=double, alpha=double, keep=double, n="Py_ssize_t", ema=double, x_sum=double,
    successes=double, failures=double, evidence_at_ns="long long", last_at_ns="long long",
    at_ns="long long", x=double, factor=double, elapsed_ns="unsigned long long",
)
cpdef _fold_evidence(s, rows, rules)


@cython.locals(
    bins=list, count="Py_ssize_t", last="Py_ssize_t", place="Py_ssize_t", x_squared_sum=double,
    log_loss_sum=double, x=double, confidence=double, price=double, lowest=double, highest=double,
)
cpdef _fold_calibration(s, rows)


@cython.locals(
    size="Py_ssize_t", span="Py_ssize_t", enabled=bint, n_min="Py_ssize_t", rate=double, initial=double,
    lowest=double, highest=double, half_life_ns=double, relaxes=bint, theta=double, theta_at_ns="long long",
    count="Py_ssize_t", error_sum=double, start="Py_ssize_t", kept_from="Py_ssize_t", end="Py_ssize_t",
    at_ns="long long", x=double, confidence=double, old_x=double, old_confidence=double, relaxed=double,
    elapsed_ns="unsigned long long",
)
cpdef _fold_threshold(s, rows, Py_ssize_t first, Py_ssize_t n, rules, history, errors)
