# What the loops of hypotheses.py are made of where they are compiled; hypotheses.py alone says what they do.
#
# A name that is returned is the array; what is looped over is a view of it, for as long as the call takes: an array
# that is viewed cannot grow.

cimport cython


@cython.locals(total=double, i="Py_ssize_t")
cpdef double sum_from(double[::1] values, Py_ssize_t first)


@cython.locals(
    total=double, half="Py_ssize_t", end="Py_ssize_t", tail="Py_ssize_t", i="Py_ssize_t",
    a=double, b=double, c=double, d=double, e=double, f=double, g=double, h=double,
)
cpdef double pairwise_sum(double[::1] values, Py_ssize_t first, Py_ssize_t count)


@cython.locals(
    column="double[::1]", last=double, held=double, ended=double, w=double, i="Py_ssize_t", j="Py_ssize_t",
)
cpdef list segments_end(list columns, list lasts, list shares)


@cython.locals(i="Py_ssize_t", factor=double)
cpdef fade(double[::1] counts, list factors, double prior)


@cython.locals(chance="double[::1]", miss=double, alpha=double, beta=double, i="Py_ssize_t")
cpdef chances(double[::1] alphas, double[::1] betas, double x)


@cython.locals(
    column="double[::1]", marginal="double[::1]", total=double, held=double, w=double, i="Py_ssize_t",
)
cpdef bayes_rule(list columns, double[::1] chance)


@cython.locals(
    column="double[::1]", marginal="double[::1]", last=double, left=double, i="Py_ssize_t", j="Py_ssize_t",
)
cpdef marginals(list columns, list lasts, Py_ssize_t count)


@cython.locals(i="Py_ssize_t")
cpdef count_in(double[::1] counts, double by, double[::1] shares=*)


@cython.locals(shares="double[::1]", i="Py_ssize_t")
cpdef late_shares(long long[::1] starts, list factors, long long at_ns)


@cython.locals(held=double, total=double, average=double, i="Py_ssize_t")
cpdef bint judge_by_others(double[::1] chance, double[::1] shares, double[::1] marginal)


@cython.locals(parts="double[::1]", i="Py_ssize_t")
cpdef double mean_of(double[::1] weights, double[::1] alphas, double[::1] betas)


@cython.locals(parts="double[::1]", alpha=double, size=double, i="Py_ssize_t")
cpdef double square_of(double[::1] weights, double[::1] alphas, double[::1] betas)


@cython.locals(below=double, last="Py_ssize_t", i="Py_ssize_t")
cpdef Py_ssize_t place_of_share(double[::1] weights, double share)
