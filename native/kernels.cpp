// One object per instruction set: the same text over another vector type. Everything but the table below is local to
// the object, so that no function compiled for a newer processor can be linked into an older one's path.

#if defined(SOFTMAXES_AVX512)
#include "vector/avx512.hpp"
#define SOFTMAXES_TABLE kernels_avx512
#define SOFTMAXES_NAME "avx512"
#elif defined(SOFTMAXES_AVX2)
#include "vector/avx2.hpp"
#define SOFTMAXES_TABLE kernels_avx2
#define SOFTMAXES_NAME "avx2"
#else
#include "vector/portable.hpp"
#define SOFTMAXES_TABLE kernels_baseline
#define SOFTMAXES_NAME "baseline"
#endif

#include "vector/wide.hpp"

#include "exp.hpp"
#include "kernels.hpp"
#include "log.hpp"
#include "sums.hpp"
#include "passes.hpp"
#include "precise.hpp"
#include "group.hpp"
#include "short.hpp"
#include "single.hpp"
#include "rows.hpp"
#include "strip.hpp"
#include "losses.hpp"
#include "tiles.hpp"
#include "sparse.hpp"
#include "sample.hpp"

namespace softmaxes {

extern const Kernels SOFTMAXES_TABLE = {
    SOFTMAXES_NAME,
    rows_kernel<F32>,
    rows_kernel<F64>,
    strip_kernel<F32>,
    strip_kernel<F64>,
    losses_kernel<F32>,
    losses_kernel<F64>,
    draws_kernel<F32>,
    draws_kernel<F64>,
    gather_tile<F32>,
    gather_tile<F64>,
    scatter_tile<F32>,
    scatter_tile<F64>,
    widen<from_float16>,
    widen<from_bfloat16>,
    narrow<to_float16>,
    narrow<to_bfloat16>,
    sparse::rows_kernel<F32>,
    sparse::rows_kernel<F64>,
    sparse::product_kernel<F32>,
    sparse::product_kernel<F64>,
};

}  // namespace softmaxes
