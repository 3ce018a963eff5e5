# What a draw depends on, in C's numbers where views.py is compiled; views.py alone says how. See fold.pxd.

cimport cython
from libc cimport math


@cython.locals(
    at_ns="long long", successes=double, failures=double, half_life_ns=double, alpha=double, beta=double, factor=double,
    elapsed_ns="unsigned long long",
)
cpdef arm(state, long long as_of)
