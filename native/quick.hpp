// The shortest way for a plain NumPy array with every option at its default.
#pragma once

#include <Python.h>

namespace softmaxes {

// Add `quick` to the module; returns false with a Python error set.
bool add_quick(PyObject* module);

}  // namespace softmaxes
