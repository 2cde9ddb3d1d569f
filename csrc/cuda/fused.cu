// The fused forward pass on CUDA: batch statistics, and sums of terms with their signs. See ../naswot.h; K from the
// signs is in hamming.cu.
//
//   step        instructions                          identity
//   moments     fp64 add and fma, 3 a number          shifted by k, one of the channel's own n numbers, the sums of
//                                                     x - k and (x - k)^2 lose at most log2(n) of 53 bits to
//                                                     cancellation, because (mean - k)^2 <= n * variance
//   sum         16-byte loads and stores, fp32 mul    rounded apart: x * scale, then + shift, then + the next term
//               and add without fma
//   bits        setp, vote.ballot                     a warp's 32 votes are a word; order: see naswot.h
//
// Both are limited by memory: bytes of the terms once and of the outputs once. A warp sums 512 units, 16 a thread: 64
// bytes of float32 terms on the way for each of an SM's 768 threads. At 18.5 bytes a clock (4.3 TB/s over 132 SMs at
// 1.75 GHz) an SM has time for 27 instructions, or 14 of fp64, for each float32 number that it reads.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <limits>

#include "../naswot.h"

// Does not include what it uses.
#include <ATen/cuda/detail/IntegerDivider.cuh>

namespace naswot {
namespace {

using at::cuda::detail::IntDivider;

constexpr int kWarp = 32;
constexpr uint32_t kAll = 0xFFFFFFFFu;
constexpr int kVectorBytes = 16;
constexpr int64_t kMostBlocks = 65535;  // of a grid's y

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

bool is_aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % kVectorBytes == 0; }

// Numbers of a vector, or one, as float32.
__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(at::BFloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.x) << 16); }

template <int n>
__device__ __forceinline__ void unpack(const uint4& vector, float (&x)[n]) {
  const uint32_t parts[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
  for (int k = 0; k < n; ++k) {
    x[k] = __uint_as_float(n == 4 ? parts[k] : k % 2 == 0 ? parts[k / 2] << 16 : parts[k / 2] & 0xFFFF0000u);
  }
}

template <class T, int n>
__device__ __forceinline__ void load(const T* from, float (&x)[n]) {
  if constexpr (n == 1) {
    x[0] = to_float(*from);
  } else {
    static_assert(n * sizeof(T) == kVectorBytes);
    unpack(*reinterpret_cast<const uint4*>(from), x);
  }
}

// The compiler would take some assignments of vectors apart.
__device__ __forceinline__ void store_vector(void* to, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

template <int n>
__device__ __forceinline__ void store(float* to, const float (&x)[n]) {
  if constexpr (n == 1) {
    *to = x[0];
  } else {
    store_vector(to, __float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
  }
}
template <int n>
__device__ __forceinline__ void store(at::BFloat16* to, const float (&x)[n]) {
  if constexpr (n == 1) {
    *to = static_cast<at::BFloat16>(x[0]);
  } else {
    uint32_t parts[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      parts[k] = static_cast<at::BFloat16>(x[2 * k]).x |
                 static_cast<uint32_t>(static_cast<at::BFloat16>(x[2 * k + 1]).x) << 16;
    }
    store_vector(to, parts[0], parts[1], parts[2], parts[3]);
  }
}

// ---- batch_norm_affine ----

constexpr int kMomentThreads = 256;
// Vectors of n numbers that a thread has on the way.
template <int n>
constexpr int kMomentUnroll = n == 8 ? 2 : 4;
// Blocks of the first kernel: enough for any device, and the same for all, so that the order of summation is.
constexpr int64_t kMomentBlocks = 1024;

struct Moments {
  double sum;      // of x - k
  double squares;  // of (x - k)^2
};

__device__ __forceinline__ void add(Moments& moments, float x, double k) {
  const double difference = static_cast<double>(x) - k;
  moments.sum += difference;
  moments.squares = fma(difference, difference, moments.squares);
}

// Sums over `lanes` threads that stand `groups` apart, to the first of them: by halves, so in a fixed order.
template <int n>
__device__ __forceinline__ void reduce(Moments (&moments)[n], Moments (*shared)[n], int lane, int lanes, int groups) {
  const int thread = threadIdx.x;
#pragma unroll
  for (int v = 0; v < n; ++v) shared[thread][v] = moments[v];
  __syncthreads();
  while (lanes > 1) {
    const int half = (lanes + 1) / 2;
    if (lane + half < lanes) {
#pragma unroll
      for (int v = 0; v < n; ++v) {
        const Moments other = shared[thread + half * groups][v];
        moments[v].sum += other.sum;
        moments[v].squares += other.squares;
        shared[thread][v] = moments[v];
      }
    }
    lanes = half;
    __syncthreads();
  }
}

// Block (x, y): the x-th part of channel y. partial: [parts, channels].
template <class T, int n>
__global__ void __launch_bounds__(kMomentThreads)
    plane_moments_kernel(const T* __restrict__ x, int64_t images, int64_t channels, int64_t area,
                         IntDivider<uint32_t> row, Moments* __restrict__ partial) {
  __shared__ Moments shared[kMomentThreads][1];
  const T* const plane = x + blockIdx.y * area;
  const double k = to_float(*plane);
  const uint32_t vectors = static_cast<uint32_t>(images * area / n);
  const auto begin = static_cast<uint32_t>(static_cast<uint64_t>(vectors) * blockIdx.x / gridDim.x);
  const auto end = static_cast<uint32_t>(static_cast<uint64_t>(vectors) * (blockIdx.x + 1) / gridDim.x);
  Moments moments[1] = {};
  constexpr int unroll = kMomentUnroll<n>;
  for (uint32_t first = begin + threadIdx.x; first < end; first += unroll * kMomentThreads) {
    float numbers[unroll][n];
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      const uint32_t v = first + u * kMomentThreads;
      const auto at = row.divmod(v);  // image, vector of the plane
      if (v < end) load(plane + at.div * channels * area + at.mod * n, numbers[u]);
    }
#pragma unroll
    for (int u = 0; u < unroll; ++u) {
      if (first + u * kMomentThreads >= end) break;
#pragma unroll
      for (int e = 0; e < n; ++e) add(moments[0], numbers[u][e], k);
    }
  }
  reduce(moments, shared, threadIdx.x, kMomentThreads, 1);
  if (threadIdx.x == 0) partial[blockIdx.x * channels + blockIdx.y] = moments[0];
}

// Block (x, y): the x-th part of the pixels, the y-th of the channels, n channels a thread.
template <class T, int n>
__global__ void __launch_bounds__(kMomentThreads)
    pixel_moments_kernel(const T* __restrict__ x, int64_t pixels, int64_t channels, Moments* __restrict__ partial) {
  __shared__ Moments shared[kMomentThreads][n];
  const int first = blockIdx.y * kMomentThreads;
  const int rest = static_cast<int>(channels / n) - first;
  const int groups = rest < kMomentThreads ? rest : kMomentThreads;
  const int lanes = kMomentThreads / groups;
  const int lane = threadIdx.x / groups;
  const T* const column = x + (first + threadIdx.x % groups) * n;
  const int64_t begin = pixels * blockIdx.x / gridDim.x;
  const int64_t end = pixels * (blockIdx.x + 1) / gridDim.x;
  double k[n];
  constexpr int unroll = kMomentUnroll<n>;
  float numbers[unroll][n];
  load(column, numbers[0]);
#pragma unroll
  for (int e = 0; e < n; ++e) k[e] = numbers[0][e];
  Moments moments[n] = {};
  if (lane < lanes) {
    for (int64_t pixel = begin + lane; pixel < end; pixel += unroll * lanes) {
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        if (pixel + u * lanes < end) load(column + (pixel + u * lanes) * channels, numbers[u]);
      }
#pragma unroll
      for (int u = 0; u < unroll; ++u) {
        if (pixel + u * lanes >= end) break;
#pragma unroll
        for (int e = 0; e < n; ++e) add(moments[e], numbers[u][e], k[e]);
      }
    }
  }
  reduce(moments, shared, lane, lanes, groups);
  if (lane != 0) return;
#pragma unroll
  for (int e = 0; e < n; ++e) partial[blockIdx.x * channels + (first + threadIdx.x) * n + e] = moments[e];
}

// A warp a channel: the parts, then scale and shift. A channel has `count` numbers, the next one's are `next` further.
template <class T>
__global__ void __launch_bounds__(kMomentThreads)
    affine_kernel(const Moments* __restrict__ partial, int parts, int64_t channels, double count,
                  const T* __restrict__ x, int64_t next, const T* __restrict__ weight, int64_t weight_stride,
                  const T* __restrict__ bias, int64_t bias_stride, double eps, float* __restrict__ affine) {
  const int lane = threadIdx.x % kWarp;
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * (kMomentThreads / kWarp) + threadIdx.x / kWarp;
  if (channel >= channels) return;
  Moments moments = {};
#pragma unroll 4
  for (int part = lane; part < parts; part += kWarp) {
    const Moments other = partial[part * channels + channel];
    moments.sum += other.sum;
    moments.squares += other.squares;
  }
#pragma unroll
  for (int half = kWarp / 2; half > 0; half /= 2) {
    moments.sum += __shfl_xor_sync(kAll, moments.sum, half);
    moments.squares += __shfl_xor_sync(kAll, moments.squares, half);
  }
  if (lane != 0) return;
  const double offset = moments.sum / count;
  const double mean = to_float(x[channel * next]) + offset;
  double variance = (moments.squares - moments.sum * offset) / count;
  if (variance < 0.0) variance = 0.0;  // NaN stays
  const double gain = weight == nullptr ? 1.0 : to_float(weight[channel * weight_stride]);
  const double shift = bias == nullptr ? 0.0 : to_float(bias[channel * bias_stride]);
  const float scale = static_cast<float>(gain / sqrt(variance + eps));
  affine[channel] = scale;
  affine[channels + channel] = static_cast<float>(shift - mean * scale);
}

template <class T, int n>
void plane_moments(const T* x, const at::Tensor& shape, at::Tensor& partial, cudaStream_t stream) {
  const int64_t area = shape.size(2) * shape.size(3);
  const int64_t vectors = shape.size(0) * area / n;
  const int64_t parts = std::clamp(divide_up(kMomentBlocks, shape.size(1)), int64_t{1},
                                   divide_up(vectors, kMomentThreads * kMomentUnroll<n>));
  TORCH_CHECK_VALUE(shape.size(1) <= kMostBlocks, "batch_norm_affine: the CUDA kernel takes at most ", kMostBlocks,
                    " channels of contiguous maps, got ", shape.size(1), ". Use channels_last.");
  partial = at::empty({parts, shape.size(1), 2}, partial.options());
  plane_moments_kernel<T, n><<<dim3(static_cast<unsigned>(parts), static_cast<unsigned>(shape.size(1))), kMomentThreads,
                               0, stream>>>(x, shape.size(0), shape.size(1), area,
                                            IntDivider<uint32_t>(static_cast<uint32_t>(area / n)),
                                            reinterpret_cast<Moments*>(partial.data_ptr<double>()));
}

template <class T, int n>
void pixel_moments(const T* x, const at::Tensor& shape, at::Tensor& partial, cudaStream_t stream) {
  const int64_t channels = shape.size(1);
  const int64_t pixels = shape.numel() / channels;
  const int64_t groups = std::min<int64_t>(channels / n, kMomentThreads);
  const int64_t tiles = divide_up(channels / n, kMomentThreads);
  const int64_t parts = std::clamp(divide_up(kMomentBlocks, tiles), int64_t{1},
                                   divide_up(pixels, kMomentThreads / groups * kMomentUnroll<n>));
  partial = at::empty({parts, channels, 2}, partial.options());
  pixel_moments_kernel<T, n><<<dim3(static_cast<unsigned>(parts), static_cast<unsigned>(tiles)), kMomentThreads, 0,
                               stream>>>(x, pixels, channels, reinterpret_cast<Moments*>(partial.data_ptr<double>()));
}

template <class T>
at::Tensor batch_norm_affine(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                             const std::optional<at::Tensor>& bias, double eps) {
  constexpr int n = kVectorBytes / sizeof(T);
  static_assert(sizeof(Moments) == 2 * sizeof(double));
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  const int64_t channels = x.size(1);
  const int64_t area = x.size(2) * x.size(3);
  const bool planes = x.is_contiguous();
  const T* const data = static_cast<const T*>(x.const_data_ptr());
  const bool vectors = (planes ? area : channels) % n == 0 && is_aligned(data);
  const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
  at::Tensor partial = at::empty({0}, options.dtype(at::kDouble));
  if (planes) {
    (vectors ? plane_moments<T, n> : plane_moments<T, 1>)(data, x, partial, stream);
  } else {
    (vectors ? pixel_moments<T, n> : pixel_moments<T, 1>)(data, x, partial, stream);
  }
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  const at::Tensor affine = at::empty({2, channels}, options.dtype(at::kFloat));
  constexpr int warps = kMomentThreads / kWarp;
  affine_kernel<T><<<static_cast<unsigned>(divide_up(channels, warps)), kMomentThreads, 0, stream>>>(
      reinterpret_cast<const Moments*>(partial.const_data_ptr<double>()), static_cast<int>(partial.size(0)), channels,
      static_cast<double>(x.size(0) * area), data, planes ? area : 1,
      weight ? static_cast<const T*>(weight->const_data_ptr()) : nullptr, weight ? weight->stride(0) : 0,
      bias ? static_cast<const T*>(bias->const_data_ptr()) : nullptr, bias ? bias->stride(0) : 0, eps,
      affine.data_ptr<float>());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return affine;
}

// ---- combine ----

constexpr int kCombineThreads = 256;
constexpr int kCombineBlocks = 3;  // on an SM at a time: registers for 24 warps and no spills
constexpr int kCombineWarps = kCombineThreads / kWarp;
constexpr int kMostTerms = 8;
constexpr int64_t kMostWindow = 46340;        // a side: the divisor of an average is an int
constexpr int kNumbers = 16;                 // a thread's
constexpr int kTileUnits = kNumbers * kWarp;  // a warp's: words come in whole tiles
static_assert(kTileUnits == kWordsStep * 64);

struct Term {
  const void* data;
  const float* scale;  // null: as it is; the shifts follow the scales
  int64_t image;       // numbers of an image
  int height, width;
  int kernel, stride, padding, count_include_pad;
};

// By value to the kernel: no copy to the device.
struct Sum {
  Term terms[kMostTerms];
  int count;
  int64_t images;
  uint32_t channels, area, units, tiles;
  IntDivider<uint32_t> by_channels, by_area, by_width;
  void* sum;
  void* rectified;
  uint32_t* words;
  int64_t words_stride;
  unsigned long long* nonfinite;
};

// The window of one axis at output position `at`: what of it lies in the image, and how many the divisor counts.
struct Window {
  int begin, end, count;
};
__device__ __forceinline__ Window window(const Term& term, int at, int size) {
  const int begin = at * term.stride - term.padding;
  const int end = begin + term.kernel;
  const int padded_end = end < size + term.padding ? end : size + term.padding;
  Window w = {begin > 0 ? begin : 0, end < size ? end : size, padded_end - begin};
  if (term.count_include_pad == 0) w.count = w.end - w.begin;
  return w;
}

// n channels of a pixel.
template <class T, int n>
__device__ __forceinline__ void pool_pixel(const Term& term, const T* map, int y, int x, int channel, int channels,
                                           float (&mean)[n]) {
  const Window rows = window(term, y, term.height);
  const Window columns = window(term, x, term.width);
#pragma unroll
  for (int e = 0; e < n; ++e) mean[e] = 0.0f;
  for (int i = rows.begin; i < rows.end; ++i) {
#pragma unroll(n > 1 ? 3 : 1)
    for (int j = columns.begin; j < columns.end; ++j) {
      float numbers[n];
      load(map + (static_cast<int64_t>(i) * term.width + j) * channels + channel, numbers);
#pragma unroll
      for (int e = 0; e < n; ++e) mean[e] = __fadd_rn(mean[e], numbers[e]);
    }
  }
  const float divisor = static_cast<float>(rows.count * columns.count);
#pragma unroll
  for (int e = 0; e < n; ++e) mean[e] = __fdiv_rn(mean[e], divisor);
}

// n pixels of a row of a plane, 3 x 3 around each: a row of the window is a vector and a number to each side.
template <class T, int n>
__device__ __forceinline__ void pool_row(const Term& term, const T* plane, int y, int x, float (&mean)[n]) {
  const Window rows = window(term, y, term.height);
#pragma unroll
  for (int e = 0; e < n; ++e) mean[e] = 0.0f;
  for (int i = rows.begin; i < rows.end; ++i) {
    const T* const row = plane + i * term.width + x;
    float inner[n];
    load(row, inner);
    float numbers[n + 2];
    numbers[0] = x > 0 ? to_float(row[-1]) : 0.0f;
    numbers[n + 1] = x + n < term.width ? to_float(row[n]) : 0.0f;
#pragma unroll
    for (int e = 0; e < n; ++e) numbers[e + 1] = inner[e];
#pragma unroll
    for (int e = 0; e < n; ++e) {
      mean[e] = __fadd_rn(__fadd_rn(__fadd_rn(mean[e], numbers[e]), numbers[e + 1]), numbers[e + 2]);
    }
  }
#pragma unroll
  for (int e = 0; e < n; ++e) {
    mean[e] = __fdiv_rn(mean[e], static_cast<float>(rows.count * window(term, x + e, term.width).count));
  }
}

// Units `unit` ... `unit` + n - 1 of a term that is pooled.
template <class T, bool channels_last, int n>
__device__ __forceinline__ void pool(const Sum& all, const Term& term, const T* map, uint32_t unit, float (&x)[n]) {
  if constexpr (channels_last) {
    const auto pixel = all.by_channels.divmod(unit);
    const auto at = all.by_width.divmod(pixel.div);
    pool_pixel(term, map, at.div, at.mod, pixel.mod, all.channels, x);
  } else {
    const auto in_plane = all.by_area.divmod(unit);
    const T* const plane = map + static_cast<int64_t>(in_plane.div) * term.height * term.width;
    if constexpr (n > 1) {
      const auto at = all.by_width.divmod(in_plane.mod);
      if (term.kernel == 3 && term.stride == 1 && term.padding == 1 && term.width % n == 0) {
        return pool_row(term, plane, at.div, at.mod, x);
      }
    }
#pragma unroll
    for (int e = 0; e < n; ++e) {
      const auto at = all.by_width.divmod(in_plane.mod + e);
      float one[1];
      pool_pixel(term, plane, at.div, at.mod, 0, 1, one);
      x[e] = one[0];
    }
  }
}

template <bool channels_last, int n>
__device__ __forceinline__ void scale(const Sum& all, const float* scales, uint32_t unit, float (&x)[n]) {
  float factor[n];
  float shift[n];
  if constexpr (channels_last && n > 1) {
    const uint32_t channel = all.by_channels.divmod(unit).mod;
#pragma unroll
    for (int e = 0; e < n; e += 4) {
      const float4 f = __ldg(reinterpret_cast<const float4*>(scales + channel + e));
      const float4 s = __ldg(reinterpret_cast<const float4*>(scales + all.channels + channel + e));
      factor[e] = f.x, factor[e + 1] = f.y, factor[e + 2] = f.z, factor[e + 3] = f.w;
      shift[e] = s.x, shift[e + 1] = s.y, shift[e + 2] = s.z, shift[e + 3] = s.w;
    }
  } else {
    // The n units of a vector are of one plane.
    const uint32_t channel = channels_last ? all.by_channels.divmod(unit).mod : all.by_area.div(unit);
#pragma unroll
    for (int e = 0; e < n; ++e) {
      factor[e] = __ldg(scales + channel);
      shift[e] = __ldg(scales + all.channels + channel);
    }
  }
#pragma unroll
  for (int e = 0; e < n; ++e) x[e] = __fadd_rn(__fmul_rn(x[e], factor[e]), shift[e]);
}

// Grid: warps for the tiles of an image, and the images. A thread has kNumbers / n groups of n units; what it reads of
// tensors that it also writes, it reads before.
template <class T, bool channels_last, int n>
__global__ void __launch_bounds__(kCombineThreads, kCombineBlocks) combine_kernel(const __grid_constant__ Sum all) {
  constexpr int groups = kNumbers / n;
  const int lane = threadIdx.x % kWarp;
  const uint32_t first = blockIdx.x * kCombineWarps + threadIdx.x / kWarp;
  unsigned nonfinite = 0;
  for (int64_t image = blockIdx.y; image < all.images; image += gridDim.y) {
    for (uint32_t tile = first; tile < all.tiles; tile += gridDim.x * kCombineWarps) {
      const uint32_t unit = tile * kTileUnits + lane * n;
      float s[groups][n];
      for (int t = 0; t < all.count; ++t) {
        const Term& term = all.terms[t];
        const T* const map = static_cast<const T*>(term.data) + image * term.image;
        float x[groups][n];
        if (term.kernel == 0) {
#pragma unroll
          for (int g = 0; g < groups; ++g) {
            if (unit + g * n * kWarp < all.units) load(map + unit + g * n * kWarp, x[g]);
          }
        } else {
#pragma unroll
          for (int g = 0; g < groups; ++g) {
            if (unit + g * n * kWarp < all.units) pool<T, channels_last>(all, term, map, unit + g * n * kWarp, x[g]);
          }
        }
#pragma unroll
        for (int g = 0; g < groups; ++g) {
          const uint32_t at = unit + g * n * kWarp;
          if (term.scale != nullptr && at < all.units) scale<channels_last>(all, term.scale, at, x[g]);
#pragma unroll
          for (int e = 0; e < n; ++e) s[g][e] = t == 0 ? x[g][e] : __fadd_rn(s[g][e], x[g][e]);
        }
      }
      uint32_t word = 0;
#pragma unroll
      for (int g = 0; g < groups; ++g) {
        const uint32_t at = unit + g * n * kWarp;
        const bool inside = at < all.units;
        const int64_t place = image * all.units + at;
        if (inside && all.sum != nullptr) store(static_cast<T*>(all.sum) + place, s[g]);
        if (inside && all.rectified != nullptr) {
          float r[n];
#pragma unroll
          for (int e = 0; e < n; ++e) r[e] = s[g][e] > 0.0f || s[g][e] != s[g][e] ? s[g][e] : 0.0f;
          store(static_cast<T*>(all.rectified) + place, r);
        }
        if (all.words != nullptr) {
#pragma unroll
          for (int e = 0; e < n; ++e) {
            const uint32_t ballot = __ballot_sync(kAll, inside && s[g][e] > 0.0f);
            if (lane == g * n + e) word = ballot;
            nonfinite += inside && (__float_as_uint(s[g][e]) & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
          }
        }
      }
      if (all.words != nullptr && lane < kNumbers) {
        all.words[image * all.words_stride + tile * static_cast<int64_t>(kNumbers) + lane] = word;
      }
    }
  }
  if (nonfinite != 0 && all.nonfinite != nullptr) atomicAdd(all.nonfinite, static_cast<unsigned long long>(nonfinite));
}

template <class T>
void launch(const Sum& all, bool channels_last, bool vectors, cudaStream_t stream) {
  constexpr int n = kVectorBytes / sizeof(T);
  const dim3 grid(static_cast<unsigned>(divide_up(all.tiles, kCombineWarps)),
                  static_cast<unsigned>(std::min(all.images, kMostBlocks)));
  if (channels_last) {
    (vectors ? combine_kernel<T, true, n> : combine_kernel<T, true, 1>)<<<grid, kCombineThreads, 0, stream>>>(all);
  } else {
    (vectors ? combine_kernel<T, false, n> : combine_kernel<T, false, 1>)<<<grid, kCombineThreads, 0, stream>>>(all);
  }
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

at::Tensor batch_norm_affine_cuda(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& bias, double eps) {
  check_batch_norm_arguments(x, weight, bias);
  TORCH_CHECK_VALUE(x.numel() <= std::numeric_limits<int32_t>::max(),
                    "batch_norm_affine: the CUDA kernel takes fewer than 2^31 numbers, got ", x.sizes(),
                    ". Use a smaller batch.");
  const c10::cuda::CUDAGuard guard(x.device());
  if (x.scalar_type() == at::kFloat) return batch_norm_affine<float>(x, weight, bias, eps);
  return batch_norm_affine<at::BFloat16>(x, weight, bias, eps);
}

void combine_cuda(at::TensorList terms, const Affines& affines, at::IntArrayRef pools,
                  const std::optional<at::Tensor>& sum, const std::optional<at::Tensor>& rectified,
                  const std::optional<at::Tensor>& words, const std::optional<at::Tensor>& nonfinite) {
  const Combination checked = check_combine_arguments(terms, affines, pools, sum, rectified, words, nonfinite);
  TORCH_CHECK_VALUE(terms.size() <= kMostTerms, "combine: the CUDA kernel takes at most ", kMostTerms, " terms, got ",
                    terms.size(), ". Add some of them up first.");
  const int64_t area = checked.height * checked.width;
  const int64_t units = checked.channels * area;
  bool planes = true;
  bool pixels = true;
  bool vectors = true;
  const auto look = [&](const at::Tensor& map) {
    TORCH_CHECK_VALUE(map.numel() / checked.images <= std::numeric_limits<int32_t>::max() - kTileUnits,
                      "combine: the CUDA kernel takes fewer than 2^31 - ", kTileUnits, " numbers an image, got ",
                      map.sizes(), ".");
    planes = planes && map.is_contiguous();
    pixels = pixels && map.is_contiguous(at::MemoryFormat::ChannelsLast);
    vectors = vectors && is_aligned(map.const_data_ptr());
  };
  Sum all{};
  for (size_t t = 0; t < terms.size(); ++t) {
    const at::Tensor& map = terms[t];
    const Pool& pool = checked.pools[t];
    look(map);
    TORCH_CHECK_VALUE(pool.kernel <= kMostWindow, "combine: the CUDA kernel pools windows of at most ", kMostWindow,
                      " numbers a side, got ", pool.kernel, ".");
    const float* const scales = checked.affines[t] ? checked.affines[t]->const_data_ptr<float>() : nullptr;
    vectors = vectors && is_aligned(scales);
    all.terms[t] = {map.const_data_ptr(),
                    scales,
                    map.numel() / checked.images,
                    static_cast<int>(map.size(2)),
                    static_cast<int>(map.size(3)),
                    static_cast<int>(pool.kernel),
                    static_cast<int>(pool.stride),
                    static_cast<int>(pool.padding),
                    static_cast<int>(pool.count_include_pad)};
  }
  for (const auto& output : {sum, rectified}) {
    if (output) look(*output);
  }
  TORCH_CHECK_VALUE(planes || pixels, "combine: all terms and outputs must be contiguous, or all channels_last.");
  const int64_t n = kVectorBytes / terms[0].element_size();
  vectors = vectors && (planes ? area : checked.channels) % n == 0;
  all.count = static_cast<int>(terms.size());
  all.images = checked.images;
  all.channels = static_cast<uint32_t>(checked.channels);
  all.area = static_cast<uint32_t>(area);
  all.units = static_cast<uint32_t>(units);
  // All words are written, those past the last unit as zeros. Padding can make the sum larger than any term.
  const int64_t tiles = words ? words->size(1) / kWordsStep : divide_up(units, kTileUnits);
  TORCH_CHECK_VALUE(tiles * kTileUnits <= std::numeric_limits<int32_t>::max(),
                    "combine: the CUDA kernel takes fewer than 2^31 units an image, with those of unused words, got ",
                    tiles * kTileUnits, ". Use smaller maps or fewer words.");
  all.tiles = static_cast<uint32_t>(tiles);
  all.by_channels = IntDivider<uint32_t>(all.channels);
  all.by_area = IntDivider<uint32_t>(all.area);
  all.by_width = IntDivider<uint32_t>(static_cast<uint32_t>(checked.width));

  const c10::cuda::CUDAGuard guard(terms[0].device());
  for (const auto& output : {sum, rectified, words}) {
    if (output) output->unsafeGetTensorImpl()->bump_version();
  }
  all.sum = sum ? sum->data_ptr() : nullptr;
  all.rectified = rectified ? rectified->data_ptr() : nullptr;
  if (words) {
    all.words = reinterpret_cast<uint32_t*>(words->data_ptr<int64_t>());
    all.words_stride = 2 * words->stride(0);
    if (nonfinite) {
      nonfinite->unsafeGetTensorImpl()->bump_version();
      all.nonfinite = reinterpret_cast<unsigned long long*>(nonfinite->data_ptr<int64_t>());
    }
  }
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  if (terms[0].scalar_type() == at::kFloat) {
    launch<float>(all, !planes, vectors, stream);
  } else {
    launch<at::BFloat16>(all, !planes, vectors, stream);
  }
}

}  // namespace naswot
