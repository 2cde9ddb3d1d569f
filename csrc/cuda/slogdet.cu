// naswot::slogdet on CUDA: one block eliminates one matrix, in global memory, step by step as the CPU does.
//
//   step        instructions                     identity
//   pivot       shared-memory reduction          largest |entry|, ties to the smallest row-major position: any order
//                                                of the reduction finds the same one
//   eliminate   double-double, fma.rn.f64        the operations of ../slogdet.h, in the same order for each entry
//
// The file is compiled with --fmad=false, so the pivots are bit for bit those of the CPU.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

#include "../naswot.h"
#include "../slogdet.h"

namespace naswot {
namespace {

constexpr int kColumns = 32;
constexpr int kRows = 16;
constexpr int kThreads = kColumns * kRows;
constexpr int64_t kMostBlocks = 1024;  // several a multiprocessor; each has scratch memory of its own

struct Pivot {
  double size;       // |hi|
  int64_t position;  // i * n + j
};

__device__ Pivot larger(Pivot a, Pivot b) {
  return b.size > a.size || (b.size == a.size && b.position < a.position) ? b : a;
}

// The best of all threads' candidates, to every thread.
__device__ Pivot reduce(Pivot candidate, Pivot* shared) {
  const int thread = threadIdx.y * kColumns + threadIdx.x;
  shared[thread] = candidate;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (thread < half) shared[thread] = larger(shared[thread], shared[thread + half]);
    __syncthreads();
  }
  const Pivot best = shared[0];
  __syncthreads();
  return best;
}

__device__ void swap(DoubleDouble& a, DoubleDouble& b) {
  const DoubleDouble held = a;
  a = b;
  b = held;
}

// entries: [gridDim.x, n, n], factors: [gridDim.x, n]; a block takes every gridDim.x-th matrix.
__global__ void __launch_bounds__(kThreads)
    slogdet_kernel(const int64_t* __restrict__ kernels, int64_t matrices, int64_t n, DoubleDouble* all_entries,
                   DoubleDouble* all_factors, double* __restrict__ sign, double* __restrict__ logabsdet) {
  __shared__ Pivot shared[kThreads];
  DoubleDouble* const entries = all_entries + blockIdx.x * n * n;
  DoubleDouble* const factors = all_factors + blockIdx.x * n;
  const int thread = threadIdx.y * kColumns + threadIdx.x;
  for (int64_t matrix = blockIdx.x; matrix < matrices; matrix += gridDim.x) {
    Pivot best = {0.0, 0};
    Pivot diagonal = {0.0, 0};
    for (int64_t e = thread; e < n * n; e += kThreads) {
      entries[e] = from_integer(kernels[matrix * n * n + e]);
      const Pivot entry = {fabs(entries[e].hi), e};
      best = larger(best, entry);
      if (e % (n + 1) == 0) diagonal = larger(diagonal, entry);
    }
    Pivot pivot = reduce(best, shared);
    const double tolerance = singular_tolerance(n, reduce(diagonal, shared).size, pivot.size);

    Determinant determinant;
    bool singular = false;
    // Every thread follows the same path: `pivot` and `tolerance` are the same for all.
    for (int64_t k = 0; k < n; ++k) {
      if (pivot.size <= tolerance) {
        singular = true;
        break;
      }
      const int64_t row = pivot.position / n;
      const int64_t column = pivot.position % n;
      if (row != k) {
        determinant.sign = -determinant.sign;
        for (int64_t j = k + thread; j < n; j += kThreads) swap(entries[k * n + j], entries[row * n + j]);
      }
      __syncthreads();
      if (column != k) {
        determinant.sign = -determinant.sign;
        for (int64_t i = k + thread; i < n; i += kThreads) swap(entries[i * n + k], entries[i * n + column]);
      }
      __syncthreads();
      const DoubleDouble divisor = entries[k * n + k];
      determinant.multiply<true>(divisor);
      for (int64_t i = k + 1 + thread; i < n; i += kThreads) factors[i] = divide<true>(entries[i * n + k], divisor);
      __syncthreads();
      best = {0.0, n * n};
      for (int64_t i = k + 1 + threadIdx.y; i < n; i += kRows) {
        const DoubleDouble factor = factors[i];
        for (int64_t j = k + 1 + threadIdx.x; j < n; j += kColumns) {
          const DoubleDouble entry = subtract_product<true>(entries[i * n + j], factor, entries[k * n + j]);
          entries[i * n + j] = entry;
          best = larger(best, {fabs(entry.hi), i * n + j});
        }
      }
      pivot = reduce(best, shared);
    }
    if (thread == 0) {
      sign[matrix] = singular ? 0.0 : determinant.sign;
      logabsdet[matrix] = singular ? -HUGE_VAL : determinant.logarithm<true>();
    }
  }
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> slogdet_cuda(const at::Tensor& kernel) {
  check_slogdet_argument(kernel);
  const c10::cuda::CUDAGuard guard(kernel.device());
  const at::Tensor matrices = kernel.contiguous();
  const int64_t n = kernel.size(-1);
  const auto options = kernel.options().dtype(at::kDouble);
  const auto shape = kernel.sizes().slice(0, kernel.dim() - 2);
  const at::Tensor sign = at::empty(shape, options);
  const at::Tensor logabsdet = at::empty(shape, options);
  const int64_t blocks = std::min(sign.numel(), kMostBlocks);
  if (blocks == 0) return {sign, logabsdet};
  static_assert(sizeof(DoubleDouble) == 2 * sizeof(double), "two doubles an entry");
  const at::Tensor entries = at::empty({blocks, n, n, 2}, options);
  const at::Tensor factors = at::empty({blocks, n, 2}, options);
  slogdet_kernel<<<static_cast<unsigned>(blocks), dim3(kColumns, kRows), 0,
                   c10::cuda::getCurrentCUDAStream().stream()>>>(
      matrices.const_data_ptr<int64_t>(), sign.numel(), n, reinterpret_cast<DoubleDouble*>(entries.data_ptr<double>()),
      reinterpret_cast<DoubleDouble*>(factors.data_ptr<double>()), sign.data_ptr<double>(),
      logabsdet.data_ptr<double>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {sign, logabsdet};
}

}  // namespace naswot
