// Memory for large results that comes back warm.
//
// A fresh large result costs more in page faults than in arithmetic. So the last few large blocks that were given back
// are kept, marked with MADV_FREE: the system may take their pages at any moment it needs them, and until it does the
// next result finds them in place. Blocks lie on huge-page boundaries. Where the system knows no MADV_FREE, blocks are
// simply freed.
#pragma once

#include <cstddef>

namespace softmaxes {

constexpr std::size_t pooled_least = std::size_t{1} << 20;  // below, the C library's own memory is as good

void* pool_take(std::size_t bytes);  // 64-byte aligned; null if there is no memory
void pool_give(void* block, std::size_t bytes);

}  // namespace softmaxes
