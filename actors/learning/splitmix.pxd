# A single word, on C's unsigned words, which wrap around by themselves; splitmix.py alone says what is done.

cimport cython

cdef unsigned long long _STEP, _MASK, _FACTOR_1, _FACTOR_2


@cython.locals(z="unsigned long long")
cpdef unsigned long long word(unsigned long long seed, unsigned long long count)
