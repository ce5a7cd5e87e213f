// Layout and width: columns gathered as rows and back, half types widened and narrowed.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

// ---- a tile of columns to rows, and back ----

template <class V>
void gather_tile(const typename V::scalar* from, const softmaxes::Tile& tile, typename V::scalar* rows,
                 std::ptrdiff_t row_stride) {
    constexpr int lanes = V::lanes;
    std::int64_t k = 0;
    if (tile.width % lanes == 0 && tile.width_stride == 1) {
        for (; k + lanes <= tile.length; k += lanes) {
            for (std::int64_t j = 0; j < tile.width; j += lanes) {
                V block[lanes];
                for (int i = 0; i < lanes; ++i) block[i] = load(from + (k + i) * tile.length_stride + j);
                transpose(block);
                for (int i = 0; i < lanes; ++i) store(rows + (j + i) * row_stride + k, block[i]);
            }
        }
    }
    for (; k < tile.length; ++k)
        for (std::int64_t j = 0; j < tile.width; ++j)
            rows[j * row_stride + k] = from[k * tile.length_stride + j * tile.width_stride];
}

template <class V>
void scatter_tile(const typename V::scalar* rows, std::ptrdiff_t row_stride, typename V::scalar* to,
                  const softmaxes::Tile& tile) {
    constexpr int lanes = V::lanes;
    std::int64_t k = 0;
    if (tile.width % lanes == 0 && tile.width_stride == 1) {
        for (; k + lanes <= tile.length; k += lanes) {
            for (std::int64_t j = 0; j < tile.width; j += lanes) {
                V block[lanes];
                for (int i = 0; i < lanes; ++i) block[i] = load(rows + (j + i) * row_stride + k);
                transpose(block);
                for (int i = 0; i < lanes; ++i) store(to + (k + i) * tile.length_stride + j, block[i]);
            }
        }
    }
    for (; k < tile.length; ++k)
        for (std::int64_t j = 0; j < tile.width; ++j)
            to[k * tile.length_stride + j * tile.width_stride] = rows[j * row_stride + k];
}

// ---- half types: widened on the way in, rounded once on the way out ----

template <F32 (*read)(const std::uint16_t*)>
void widen(const std::uint16_t* from, std::int64_t n, float* to) {
    std::int64_t i = 0;
    for (; i + F32::lanes <= n; i += F32::lanes) store(to + i, read(from + i));
    if (i < n) {
        std::uint16_t last[F32::lanes] = {};
        for (std::int64_t k = i; k < n; ++k) last[k - i] = from[k];
        store_first(to + i, read(last), static_cast<int>(n - i));
    }
}

template <void (*write)(std::uint16_t*, F32)>
void narrow(const float* from, std::int64_t n, std::uint16_t* to) {
    std::int64_t i = 0;
    for (; i + F32::lanes <= n; i += F32::lanes) write(to + i, load(from + i));
    if (i < n) {
        std::uint16_t last[F32::lanes];
        write(last, load_first(from + i, static_cast<int>(n - i), broadcast<F32>(0)));
        for (std::int64_t k = i; k < n; ++k) to[k] = last[k - i];
    }
}

}  // namespace
