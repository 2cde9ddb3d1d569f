// naswot::hamming_accumulate_ on CUDA: one kernel packs codes to bits, one compares all pairs of rows.
//
//   step        instructions                               identity
//   pack        integer compare, vote.ballot               a warp's 32 votes are a word of the code (naswot.h)
//   distances   xor, popc from shared memory               agreements in a word = units in it - popc(a ^ b)
//   sum         atomicAdd on 64-bit integers               exact, so the order of blocks does not matter
//
// Nothing here waits for the device: errors of a launch are checked, and the results stay on the stream.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

#include "../formats.h"
#include "../naswot.h"

namespace naswot {
namespace {

constexpr int kWarp = 32;
constexpr int kPackThreads = 256;
constexpr int kTile = 16;         // rows on each side of a tile of pairs, one thread a pair
constexpr int kTileWords = 32;    // words of those rows in shared memory at a time
constexpr int64_t kMostBlocks = 65535;

// words[row * row_words + w], bit b: whether unit 32 w + b of the row is > 0; bits past the last unit are zero.
template <class Format>
__global__ void __launch_bounds__(kPackThreads)
    pack_kernel(const typename Format::Bits* __restrict__ numbers, int64_t rows, int64_t units, int64_t row_stride,
                int64_t row_words, uint32_t* __restrict__ words, unsigned long long* __restrict__ nonfinite) {
  using Bits = typename Format::Bits;
  const int lane = threadIdx.x % kWarp;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * blockDim.x / kWarp;
  unsigned long long count = 0;
  // All lanes of a warp share `index`, so every ballot has its 32 voters.
  for (int64_t index = warp; index < rows * row_words; index += warps) {
    const int64_t row = index / row_words;
    const int64_t unit = (index - row * row_words) * kWarp + lane;
    const Bits x = unit < units ? numbers[row * row_stride + unit] : Bits{0};
    const bool active = static_cast<Bits>(x - 1) < Format::infinity;
    const bool wild = static_cast<Bits>(x & Format::infinity) == Format::infinity;
    const uint32_t word = __ballot_sync(0xFFFFFFFFu, active);
    count += __popc(__ballot_sync(0xFFFFFFFFu, wild));
    if (lane == 0) words[index] = word;
  }
  if (nonfinite != nullptr && lane == 0 && count != 0) atomicAdd(nonfinite, count);
}

// Block (x, y, z): pairs of rows of tile y and tile x >= y, over the z-th chunk of words. Both (i, j) and (j, i) are
// written.
__global__ void __launch_bounds__(kTile* kTile)
    distance_kernel(const uint32_t* __restrict__ words, int64_t rows, int64_t units, int64_t row_words,
                    int64_t chunk_words, int64_t* __restrict__ kernel, int64_t stride_0, int64_t stride_1) {
  if (blockIdx.x < blockIdx.y) return;
  // One word of padding: the threads of a warp read different rows of `right` from different banks.
  __shared__ uint32_t left[kTile][kTileWords + 1];
  __shared__ uint32_t right[kTile][kTileWords + 1];
  const int64_t first_left = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t first_right = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t begin = static_cast<int64_t>(blockIdx.z) * chunk_words;
  const int64_t end = begin + chunk_words < row_words ? begin + chunk_words : row_words;
  const int thread = threadIdx.y * kTile + threadIdx.x;
  int64_t distance = 0;
  for (int64_t w = begin; w < end; w += kTileWords) {
    for (int k = thread; k < kTile * kTileWords; k += kTile * kTile) {
      const int row = k / kTileWords;
      const int64_t word = w + k % kTileWords;
      // Rows past the last and words past the chunk are zero on both sides and differ in nothing that is kept.
      left[row][k % kTileWords] =
          word < end && first_left + row < rows ? words[(first_left + row) * row_words + word] : 0u;
      right[row][k % kTileWords] =
          word < end && first_right + row < rows ? words[(first_right + row) * row_words + word] : 0u;
    }
    __syncthreads();
    int different = 0;
#pragma unroll
    for (int k = 0; k < kTileWords; ++k) different += __popc(left[threadIdx.y][k] ^ right[threadIdx.x][k]);
    distance += different;
    __syncthreads();
  }
  const int64_t i = first_left + threadIdx.y;
  const int64_t j = first_right + threadIdx.x;
  if (i > j || j >= rows) return;
  const int64_t last_unit = end * kWarp < units ? end * kWarp : units;
  // Two's complement: adding the unsigned pattern is adding the signed number.
  const auto same = static_cast<unsigned long long>(last_unit - begin * kWarp - distance);
  atomicAdd(reinterpret_cast<unsigned long long*>(kernel + i * stride_0 + j * stride_1), same);
  if (i != j) atomicAdd(reinterpret_cast<unsigned long long*>(kernel + j * stride_0 + i * stride_1), same);
}

template <class Format>
void pack(const Rows& rows, int64_t row_words, uint32_t* words, int64_t* nonfinite, cudaStream_t stream) {
  const int64_t warps = rows.count * row_words;
  const int64_t warps_per_block = kPackThreads / kWarp;
  const int64_t blocks = std::min((warps + warps_per_block - 1) / warps_per_block, kMostBlocks);
  pack_kernel<Format><<<static_cast<unsigned>(blocks), kPackThreads, 0, stream>>>(
      static_cast<const typename Format::Bits*>(rows.owner.const_data_ptr()), rows.count, rows.units, rows.stride,
      row_words, words, reinterpret_cast<unsigned long long*>(nonfinite));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

void hamming_accumulate_cuda(at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite) {
  check_hamming_arguments(kernel, activations, nonfinite);
  const c10::cuda::CUDAGuard guard(kernel.device());
  const Rows rows = dense_rows(activations);
  if (rows.units == 0) return;
  const int64_t tiles = (rows.count + kTile - 1) / kTile;
  TORCH_CHECK_VALUE(tiles <= kMostBlocks, "hamming_accumulate_: ", rows.count, " images are more than the CUDA kernel's ",
                    kMostBlocks * kTile, ". Use a smaller batch.");
  mark_changed(kernel, nonfinite);
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  const int64_t row_words = (rows.units + kWarp - 1) / kWarp;
  const at::Tensor bits = at::empty({rows.count, row_words}, kernel.options().dtype(at::kInt));
  auto* const words = reinterpret_cast<uint32_t*>(bits.data_ptr<int32_t>());
  int64_t* const count = nonfinite ? nonfinite->data_ptr<int64_t>() : nullptr;
  switch (rows.owner.scalar_type()) {
    case at::kHalf:
      pack<Float16>(rows, row_words, words, count, stream);
      break;
    case at::kBFloat16:
      pack<BFloat16>(rows, row_words, words, count, stream);
      break;
    case at::kFloat:
      pack<Float32>(rows, row_words, words, count, stream);
      break;
    default:
      pack<Float64>(rows, row_words, words, count, stream);
  }

  // 512 words a block are enough to be worth its atomics; more only where the grid has no room.
  const int64_t chunk_words = std::max<int64_t>(512, (row_words + kMostBlocks - 1) / kMostBlocks);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(tiles),
                  static_cast<unsigned>((row_words + chunk_words - 1) / chunk_words));
  distance_kernel<<<grid, dim3(kTile, kTile), 0, stream>>>(words, rows.count, rows.units, row_words, chunk_words,
                                                            kernel.data_ptr<int64_t>(), kernel.stride(0),
                                                            kernel.stride(1));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace naswot
