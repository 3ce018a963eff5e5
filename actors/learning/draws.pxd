# A few draws, on C's numbers; draws.py alone says what is done.

cimport cython
from handicapper.actors.learning cimport gamma


@cython.locals(
    alpha_key="unsigned long long", beta_key="unsigned long long", first="unsigned long long",
    second="unsigned long long", alpha=double, beta=double, draw=double,
)
cpdef list few_beta_draws(bytes key, streams, alphas, betas)


@cython.locals(a=double, b=double)
cpdef double beta_draw(unsigned long long first_seed, unsigned long long second_seed, double alpha, double beta)
