// Which table of kernels this process uses: the best that the processor runs, or the one that was asked for.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace softmaxes {

const Kernels& kernels();

// The names that this build has and this processor runs, best first.
std::vector<std::string> available();

// Use the named table from now on; returns false if it is not available.
bool select(const std::string& name);

}  // namespace softmaxes
