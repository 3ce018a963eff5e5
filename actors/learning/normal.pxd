# The quantile without a Python call, for modules that are compiled; normal.py says what it is.
#
# scipy exports the C function behind cython_special.ndtri as a capsule whose name is its signature. Found once; where
# it is not what is expected here, Python's form of it is called.

cdef extern from *:
    """
    static PyObject *handicapper_ndtri_object = NULL;
    static double (*handicapper_ndtri)(double, int) = NULL;

    static int handicapper_find_ndtri(void) {
        static const char *signature = "double (double, int __pyx_skip_dispatch)";
        PyObject *exports, *capsule, *module = PyImport_ImportModule("scipy.special.cython_special");
        if (module == NULL) return -1;
        exports = PyObject_GetAttrString(module, "__pyx_capi__");
        capsule = exports == NULL ? NULL : PyMapping_GetItemString(exports, "ndtri");
        if (capsule != NULL && PyCapsule_IsValid(capsule, signature))
            handicapper_ndtri = (double (*)(double, int)) PyCapsule_GetPointer(capsule, signature);
        PyErr_Clear();
        Py_XDECREF(capsule);
        Py_XDECREF(exports);
        handicapper_ndtri_object = PyObject_GetAttrString(module, "ndtri");
        Py_DECREF(module);
        return handicapper_ndtri_object == NULL ? -1 : 0;
    }

    static double handicapper_quantile(double probability) {
        PyObject *result;
        double value;
        if (handicapper_ndtri != NULL) return handicapper_ndtri(probability, 0);
        if (handicapper_ndtri_object == NULL) {
            if (handicapper_find_ndtri() < 0) return -1.0;
            return handicapper_quantile(probability);
        }
        result = PyObject_CallFunction(handicapper_ndtri_object, "d", probability);
        if (result == NULL) return -1.0;
        value = PyFloat_AsDouble(result);
        Py_DECREF(result);
        return value;
    }
    """
    double quantile "handicapper_quantile"(double probability) except? -1.0
