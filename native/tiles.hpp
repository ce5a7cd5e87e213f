// Layout and width: columns gathered as rows and back, half types widened and narrowed.
#pragma once

#include <cstdint>

#include "kernels.hpp"

namespace {

// ---- a tile of columns to rows, and back ----

// Turn a square of so many entries a side as a vector has lanes.
template <class V>
inline void turn(const typename V::scalar* from, std::ptrdiff_t from_stride, typename V::scalar* to,
                 std::ptrdiff_t to_stride) {
    V square[V::lanes];
    for (int i = 0; i < V::lanes; ++i) square[i] = load(from + i * from_stride);
    transpose(square);
    for (int i = 0; i < V::lanes; ++i) store(to + i * to_stride, square[i]);
}

// Call square(k, j) where a whole square of columns lies ready, else entry(k, j), in the order of the array's lines.
template <class V, class Square, class Entry>
inline void walk_tile(const softmaxes::Tile& tile, const Square& square, const Entry& entry) {
    std::int64_t k = 0;
    if (tile.width % V::lanes == 0 && tile.width_stride == 1)
        for (; k + V::lanes <= tile.length; k += V::lanes)
            for (std::int64_t j = 0; j < tile.width; j += V::lanes) square(k, j);
    for (; k < tile.length; ++k)
        for (std::int64_t j = 0; j < tile.width; ++j) entry(k, j);
}

template <class V>
void gather_tile(const typename V::scalar* from, const softmaxes::Tile& tile, typename V::scalar* rows,
                 std::ptrdiff_t row_stride) {
    const auto array = [&](std::int64_t k, std::int64_t j) { return from + k * tile.length_stride + j * tile.width_stride; };
    const auto row = [&](std::int64_t k, std::int64_t j) { return rows + j * row_stride + k; };
    walk_tile<V>(
        tile, [&](auto k, auto j) { turn<V>(array(k, j), tile.length_stride, row(k, j), row_stride); },
        [&](auto k, auto j) { *row(k, j) = *array(k, j); });
}

template <class V>
void scatter_tile(const typename V::scalar* rows, std::ptrdiff_t row_stride, typename V::scalar* to,
                  const softmaxes::Tile& tile) {
    const auto array = [&](std::int64_t k, std::int64_t j) { return to + k * tile.length_stride + j * tile.width_stride; };
    const auto row = [&](std::int64_t k, std::int64_t j) { return rows + j * row_stride + k; };
    walk_tile<V>(
        tile, [&](auto k, auto j) { turn<V>(row(k, j), row_stride, array(k, j), tile.length_stride); },
        [&](auto k, auto j) { *array(k, j) = *row(k, j); });
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
