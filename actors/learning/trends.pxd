# The loops of trends.py on C's numbers; trends.py alone says what is done.

cimport cython

cdef double _RIDGE, _RIDGE_MIN


@cython.locals(
    i="Py_ssize_t", at="Py_ssize_t", age=double, keeps=double, n0=double, n1=double, s0=double,
)
cpdef age_trends(double[::1] sums, list ages, list kept)


@cython.locals(i="Py_ssize_t", at="Py_ssize_t", age=double, keeps=double, aged=double)
cpdef count_in_trends(double[::1] sums, double x, list ages, list kept)


@cython.locals(
    i="Py_ssize_t", at="Py_ssize_t", prior=double, n1=double, lean=double, size=double, p=double, least=double,
    most=double,
)
cpdef read_trends(
    double[::1] sums, double[::1] alphas, double[::1] betas, Py_ssize_t first, double prior_alpha, double prior_beta
)
