// Work shared out among threads that wait for it, and a buffer that each thread keeps. Who does a row, and beside which
// others, does not change its bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace softmaxes {

// Do part(context, p) for every p below `parts`, by the calling thread and up to `helpers` that wait for such calls.
// Whoever is free takes the next part, so that a helper that wakes late only does less. An exception in any part is
// thrown here once all have ended. While one call has the helpers, others do their parts by themselves: a program that
// calls from threads of its own gets no more threads to run.
void do_parts(void (*part)(const void*, std::int64_t), const void* context, std::int64_t parts, int helpers);

// Call f(begin, end) on contiguous parts of 0..count; boundaries are multiples of `grain`.
template <class Function>
void in_parallel(std::int64_t count, std::int64_t grain, int threads, const Function& f) {
    constexpr std::int64_t parts_each = 8;
    const std::int64_t grains = (count + grain - 1) / grain;
    const std::int64_t parts = std::min(grains, parts_each * threads);
    if (threads <= 1 || parts <= 1) {
        f(std::int64_t{0}, count);
        return;
    }
    const auto part = [&](std::int64_t p) {
        f(grains * p / parts * grain, p + 1 == parts ? count : grains * (p + 1) / parts * grain);
    };
    do_parts([](const void* context, std::int64_t p) { (*static_cast<decltype(part)*>(context))(p); }, &part, parts,
             static_cast<int>(std::min<std::int64_t>(threads, parts)) - 1);
}

// 64-byte aligned memory that grows and stays with its thread, so that a call does not pay for fresh pages.
inline void* scratch(std::size_t bytes) {
    struct Buffer {
        void* memory = nullptr;
        std::size_t size = 0;
        ~Buffer() { std::free(memory); }
    };
    thread_local Buffer buffer;
    if (buffer.size < bytes) {
        std::free(buffer.memory);
        buffer.size = (bytes + 4095) / 4096 * 4096;
        buffer.memory = std::aligned_alloc(64, buffer.size);
        if (!buffer.memory) {
            buffer.size = 0;
            throw std::bad_alloc();
        }
    }
    return buffer.memory;
}

}  // namespace softmaxes
