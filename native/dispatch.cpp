#include "dispatch.hpp"

#include <atomic>

namespace softmaxes {

namespace {

std::vector<const Kernels*> runnable() {
    std::vector<const Kernels*> tables;
#if defined(SOFTMAXES_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        tables.push_back(&kernels_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kernels_avx2);
#endif
    tables.push_back(&kernels_baseline);
    return tables;
}

std::atomic<const Kernels*>& current() {
    static std::atomic<const Kernels*> table{runnable().front()};
    return table;
}

}  // namespace

const Kernels& kernels() { return *current().load(std::memory_order_relaxed); }

std::vector<std::string> available() {
    std::vector<std::string> names;
    for (const Kernels* table : runnable()) names.emplace_back(table->name);
    return names;
}

bool select(const std::string& name) {
    for (const Kernels* table : runnable()) {
        if (name != table->name) continue;
        current().store(table, std::memory_order_relaxed);
        return true;
    }
    return false;
}

}  // namespace softmaxes
