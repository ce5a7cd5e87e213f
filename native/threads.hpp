// Work cut into parts that do not depend on how many threads there are, and a buffer that each thread keeps.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace softmaxes {

// Call f(begin, end) on contiguous parts of 0..count, one a thread; boundaries are multiples of `grain`. An exception
// in any part is thrown here once all have ended; a part whose thread cannot start is done by the caller.
template <class Function>
void in_parallel(std::int64_t count, std::int64_t grain, int threads, const Function& f) {
    const std::int64_t grains = (count + grain - 1) / grain;
    const std::int64_t parts = threads < grains ? threads : grains;
    if (parts <= 1) {
        f(std::int64_t{0}, count);
        return;
    }
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(parts));
    const auto do_part = [&](std::int64_t p) noexcept {
        try {
            f(grains * p / parts * grain, p + 1 == parts ? count : grains * (p + 1) / parts * grain);
        } catch (...) {
            errors[static_cast<std::size_t>(p)] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(parts - 1));
    for (std::int64_t p = 1; p < parts; ++p) {
        try {
            others.emplace_back(do_part, p);
        } catch (const std::system_error&) {
            do_part(p);
        }
    }
    do_part(0);
    for (auto& thread : others) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
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
