#include "pool.hpp"

#include <cstdlib>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace softmaxes {

namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;
constexpr int slots = 4;

struct Block {
    void* memory = nullptr;
    std::size_t bytes = 0;
};

std::mutex guard;
Block kept[slots];  // the most recently given back first

std::size_t rounded(std::size_t bytes) { return (bytes + huge_page - 1) / huge_page * huge_page; }

// All that may be kept: an eighth of the machine's memory.
std::size_t most() {
#if defined(__linux__)
    static const std::size_t bytes =
        static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 8;
    return bytes;
#else
    return 0;
#endif
}

bool hand_to_system(const Block& block) {
#if defined(__linux__) && defined(MADV_FREE)
    return madvise(block.memory, block.bytes, MADV_FREE) == 0;
#else
    (void)block;
    return false;
#endif
}

}  // namespace

void* pool_take(std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    {
        const std::lock_guard lock(guard);
        for (Block& block : kept) {
            if (block.bytes != size) continue;
            void* memory = block.memory;
            block = Block{};
            return memory;
        }
    }
    void* memory = std::aligned_alloc(huge_page, size);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (memory) madvise(memory, size, MADV_HUGEPAGE);
#endif
    return memory;
}

void pool_give(void* memory, std::size_t bytes) {
    Block block{memory, rounded(bytes)};
    if (!hand_to_system(block)) {
        std::free(memory);
        return;
    }
    const std::lock_guard lock(guard);
    for (Block& slot : kept) std::swap(slot, block);  // newest first; what falls out at the end is freed
    std::free(block.memory);
    std::size_t total = 0;
    for (Block& slot : kept) {
        total += slot.bytes;
        if (total <= most()) continue;
        std::free(slot.memory);
        total -= slot.bytes;
        slot = Block{};
    }
}

}  // namespace softmaxes
