# A single variate, on C's numbers; gamma.py alone says what is done.

cimport cython
from libc cimport math
from handicapper.actors.learning cimport normal, splitmix

cdef double CELL, _THIRD, _SQUEEZE, _SHAPE_MAX
cdef unsigned long long _LEFT_OVER


@cython.locals(
    d=double, c=double, x=double, v=double, square=double, u=double, margin=double, drawn="unsigned long long",
    attempt="unsigned long long",
)
cpdef double gamma_variate(unsigned long long seed, double shape)
