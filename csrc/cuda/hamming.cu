// naswot::hamming_accumulate_ and naswot::hamming_words_ on CUDA: one pass over the activations, the pairs of rows on
// the tensor cores.
//
//   step        instructions                                identity
//   codes       2 and, 3 iadd, lop3, shift: 32 bits of      with h = |x| as an integer, the top bit of h + (2^k - 1) is
//               input at a time, so two 16-bit numbers      h >= 1, that of h + (2^k - 1 - INF) is "NaN", for k + 1-bit
//               at once                                     numbers in lanes of one register; see naswot.h
//   pairs       mma.sync m16n8k256 b1 and.popc, 16 x 8      d(i, j) = ones_i + ones_j - 2 popcount(c_i AND c_j)
//               pairs of 256 units (BMMA on sm_80, sm_90;   (xor.popc is two BMMA on sm_90, and.popc is one)
//               sums in registers, int32)
//   sum         partial distances of every block to         int64 sums of integers, so the order does not matter
//               memory, a second small kernel adds them
//
// The two floors of B = 128 float32 rows of D = 2^20 units on an H200 (132 SMs, 1.75 GHz, 4.3 TB/s as copies measure).
// Bytes: 4 B D = 537 MB, 125 us (bfloat16: 62 us). Arithmetic: 7 instructions a number and 1 for loads, addresses and
// checks, 128 lanes a clock and SM: 36 us (bfloat16, 4.5 a number: 20 us); BMMA: 80 for 256 units of all pairs, 620 on
// each quarter of an SM, and in 125 us there are 350 clocks for each of them. So memory is the limit, if enough of it
// is on the way: each of an SM's 512 threads keeps 4 to 8 loads of 16 bytes in flight, 32 to 64 KB an SM, also while
// it waits and multiplies.
//
// Bits of a word stand for units in an order that is the same for all rows, which is all that distances need: a thread
// makes whole words of what it loads, and no warp votes.
//
// More than 128 rows are packed first and compared in tiles of 128 x 128; hamming_words_ begins there.
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
constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int64_t kMostBlocks = 65535;  // of a grid's y and z

// A tile: pairs of 128 rows in 8 bands of 16. A warp has one band and every second strip of 8 columns.
constexpr int kTile = 128;
constexpr int kBand = 16;
constexpr int kBands = kTile / kBand;
constexpr int kStrip = 8;
constexpr int kDepth = 8;  // words of a row in one mma
static_assert(kWarps == 2 * kBands);
// Within a tile on the diagonal, band b meets the bands b ... b + 4 (mod 8): all pairs of bands, those 4 apart twice.
constexpr int kDiagonal = kBands / 2 + 1;
// Units of a block: int32 sums of twice as many.
constexpr int64_t kMostUnits = int64_t{1} << 29;

// A thread reads vectors of 16 bytes, 8 of them ahead in two halves; 8 lanes side by side read 128 bytes of a row.
constexpr int kRing = 8;
constexpr int kHalfRing = kRing / 2;
constexpr int kLanes = 8;
constexpr int kGroupRows = kWarps * (kWarp / kLanes);  // rows that the block reads at a time
constexpr int kGroups = kTile / kGroupRows;

// A format in 32-bit registers. Of a float64 only whether its lower half is zero matters: that is or-ed into the upper.
template <class Format>
struct Lanes {
  static constexpr int size = sizeof(typename Format::Bits);
  static constexpr int numbers = 16 / size;  // of a vector
  static constexpr bool two = size == 2;     // numbers in a register
  static constexpr uint32_t one = two ? 0x00010001u : 1u;
  static constexpr uint32_t sign = one * (two ? 0x8000u : 0x80000000u);
  static constexpr uint32_t infinity = one * static_cast<uint32_t>(Format::infinity >> (size == 8 ? 32 : 0));
  static constexpr int words = two ? 2 : 1;                        // that a thread makes of its part of a step
  static constexpr int batches = words * 32 / (kRing * numbers);   // rings that it takes: 1, for float64 2
  static constexpr int span = words * kLanes;                      // words of a row in a step
  static constexpr int units = span * 32;                          // units of a row in a step
  static_assert(batches * kRing * numbers == words * 32 && span % kDepth == 0);
};

// Bit `sign` of every number: it is > 0; it is not finite.
template <class Format>
__device__ __forceinline__ uint32_t positive(uint32_t x) {
  using L = Lanes<Format>;
  const uint32_t size = x & ~L::sign;
  return (size + (L::sign - L::one)) & ~(size + (L::sign - L::one - L::infinity)) & ~x;
}
template <class Format>
__device__ __forceinline__ uint32_t wild(uint32_t x) {
  using L = Lanes<Format>;
  return (x & ~L::sign) + (L::sign - L::infinity);
}

// The next bits of a word. Pairs enter at bits 31 and 15 and have moved to 16 and 0 when it is full.
template <class Format>
__device__ __forceinline__ void push(uint32_t& word, uint32_t x) {
  const uint32_t bits = positive<Format>(x);
  if (Lanes<Format>::two) {
    word = (word >> 1) | (bits & Lanes<Format>::sign);
  } else {
    word = __funnelshift_l(bits, word, 1);
  }
}

// Half a ring's numbers to bits. Counting what is not finite can wait for the day that there is some.
template <class Format>
__device__ __forceinline__ void take(const uint4 (&vectors)[kHalfRing], bool valid, uint32_t& word,
                                     uint32_t& nonfinite) {
  using L = Lanes<Format>;
  constexpr int n = L::size == 8 ? 2 * kHalfRing : 4 * kHalfRing;
  uint32_t x[n];
#pragma unroll
  for (int k = 0; k < kHalfRing; ++k) {
    const uint4& v = vectors[k];
    if (L::size == 8) {
      x[2 * k] = v.y | (v.x != 0 ? 1u : 0u);
      x[2 * k + 1] = v.w | (v.z != 0 ? 1u : 0u);
    } else {
      const uint32_t parts[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int p = 0; p < 4; ++p) x[(4 * k + p) % n] = parts[p];
    }
  }
  uint32_t any = 0;
#pragma unroll
  for (int k = 0; k < n; ++k) {
    push<Format>(word, x[k]);
    any |= wild<Format>(x[k]);
  }
  if ((any & L::sign) == 0 || !valid) return;
#pragma unroll
  for (int k = 0; k < n; ++k) nonfinite += __popc(wild<Format>(x[k]) & L::sign);
}

// Where there is nothing to read, what was there stays: setting it to zero makes the compiler wait for loads that it
// has just begun. Whoever uses it looks at the row's number.
__device__ __forceinline__ void refill(uint4 (&vectors)[kHalfRing], const uint4* from, bool valid) {
  if (!valid) return;
#pragma unroll
  for (int k = 0; k < kHalfRing; ++k) vectors[k] = __ldcs(from + k * kLanes);
}

// What the activations are to the kernels: `rows` rows of `units` numbers, `stride` numbers apart. The first
// `vector_steps` steps of a row are read in vectors: all that are whole, or none where rows are not aligned.
struct Source {
  const void* numbers;
  int64_t rows, units, stride, vector_steps;
};

// Words of the steps [begin, end) of the rows first_row + kGroupRows * group: emit(step, row, words) by each thread,
// then finish() by all at the end of a step. The words of rows past the last mean nothing. Returns the number of NaN
// and infinities that the thread saw.
template <class Format, class Emit, class Finish>
__device__ __forceinline__ uint32_t walk(const Source& source, int64_t first_row, int groups, int64_t begin,
                                         int64_t end, const Emit& emit, const Finish& finish) {
  using L = Lanes<Format>;
  using Bits = typename Format::Bits;
  const int lane = threadIdx.x % kLanes;
  const int64_t top = first_row + threadIdx.x / kLanes;
  const Bits* const numbers = static_cast<const Bits*>(source.numbers);
  const int64_t whole = end < source.vector_steps ? end : source.vector_steps;
  uint32_t nonfinite = 0;
  int64_t step = begin;
  if (step < whole) {
    // `next` goes from what the ring holds to what comes after it: the row's next batch, the next row, the next step.
    const int64_t to_group = kGroupRows * source.stride / L::numbers;
    const int64_t to_step = L::span * 32 / L::numbers - (groups - 1) * to_group;
    const uint4* next = reinterpret_cast<const uint4*>(numbers + top * source.stride + step * L::units) + lane;
    uint4 ring[2][kHalfRing] = {};
    refill(ring[0], next, top < source.rows);
    refill(ring[1], next + kHalfRing * kLanes, top < source.rows);
    for (; step < whole; ++step) {
      for (int group = 0; group < groups; ++group) {
        const int64_t row = top + group * kGroupRows;
        const bool last = group + 1 == groups;
        uint32_t words[L::words] = {};
#pragma unroll
        for (int batch = 0; batch < L::batches; ++batch) {
          bool valid = row < source.rows;
          if (batch + 1 < L::batches) {
            next += kRing * kLanes;
          } else {
            next += (last ? to_step : to_group) - batch * kRing * kLanes;
            valid = last ? top < source.rows && step + 1 < whole : row + kGroupRows < source.rows;
          }
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            take<Format>(ring[half], row < source.rows, words[half * L::words / 2], nonfinite);
            refill(ring[half], next + half * kHalfRing * kLanes, valid);
          }
        }
        emit(step, row, words);
      }
      finish();
    }
  }
  // The rest number by number: what is past the end is zero.
  for (; step < end; ++step) {
    for (int group = 0; group < groups; ++group) {
      const int64_t row = top + group * kGroupRows;
      uint32_t words[L::words] = {};
#pragma unroll
      for (int w = 0; w < L::words; ++w) {
#pragma unroll 8
        for (int bit = 0; bit < 32; ++bit) {
          const int64_t unit = step * L::units + (w * 32 + bit) * kLanes + lane;
          const bool valid = row < source.rows && unit < source.units;
          const Bits x = valid ? __ldg(numbers + row * source.stride + unit) : Bits{0};
          words[w] |= (static_cast<Bits>(x - 1) < Format::infinity ? 1u : 0u) << bit;
          nonfinite += static_cast<Bits>(x & Format::infinity) == Format::infinity ? 1u : 0u;
        }
      }
      emit(step, row, words);
    }
    finish();
  }
  return nonfinite;
}

__device__ __forceinline__ void add_nonfinite(uint32_t count, unsigned long long* nonfinite) {
  if (nonfinite != nullptr && count != 0) atomicAdd(nonfinite, count);
}

// sums += popcount(a AND b) for 16 rows a and 8 rows b of 256 bits. Of the PTX fragments, lane l holds: of a, the words
// l % 4 of rows l / 4 and l / 4 + 8, then l % 4 + 4 of both; of b, the words l % 4 and l % 4 + 4 of row l / 4; of the
// sums, the columns 2 (l % 4) and + 1 of row l / 4, then of row l / 4 + 8.
__device__ __forceinline__ void multiply(int (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Codes of a tile's rows in shared memory. 4 words of padding put the 8 rows x 4 words of a fragment in 32 banks.
template <int span>
struct Codes {
  static constexpr int stride = span + 4;
  uint32_t words[kTile * stride];
  __device__ uint32_t& at(int row, int word) { return words[row * stride + word]; }
};

// The warp's part of a tile: rows of band `band`, and of each of `across` bands from there on the strip `half`.
template <int across>
struct Pairs {
  int sums[across][4] = {};

  static __device__ int band() { return threadIdx.x / kWarp % kBands; }
  static __device__ int half() { return threadIdx.x / kWarp / kBands; }
  static __device__ __forceinline__ int left(int lane, int i) { return lane / 4 + i / 2 * 8; }
  static __device__ __forceinline__ int right(int lane, int i) { return lane % 4 * 2 + i % 2; }

  template <int span>
  __device__ __forceinline__ void add(Codes<span>& rows, Codes<span>& columns) {
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int depth = 0; depth < span; depth += kDepth) {
      const int word = depth + lane % 4;
      const int row = band() * kBand + lane / 4;
      const uint32_t a[4] = {rows.at(row, word), rows.at(row + 8, word), rows.at(row, word + 4),
                             rows.at(row + 8, word + 4)};
#pragma unroll
      for (int k = 0; k < across; ++k) {
        const int column = (band() + k) % kBands * kBand + half() * kStrip + lane / 4;
        const uint32_t b[2] = {columns.at(column, word), columns.at(column, word + 4)};
        multiply(sums[k], a, b);
      }
    }
  }
};

constexpr int kEntries = kWarps * kDiagonal * 4 * kWarp;  // of a diagonal tile, as registers lie: [warp][k][i][lane]

// The distances of this block's units to its place among the partial ones.
__device__ __forceinline__ void store(const Pairs<kDiagonal>& pairs, const int* ones, int* __restrict__ partial) {
  using P = Pairs<kDiagonal>;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < kDiagonal; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = P::band() * kBand + P::left(lane, i);
      const int column = (P::band() + k) % kBands * kBand + P::half() * kStrip + P::right(lane, i);
      partial[((threadIdx.x / kWarp * kDiagonal + k) * 4 + i) * kWarp + lane] =
          ones[row] + ones[column] - 2 * pairs.sums[k][i];
    }
  }
}

struct Kernel {
  unsigned long long* entries;  // int64 in two's complement: adding the unsigned pattern is adding the signed number
  int64_t rows, stride_0, stride_1;

  __device__ void add(int64_t i, int64_t j, int64_t value) const {
    atomicAdd(entries + i * stride_0 + j * stride_1, static_cast<unsigned long long>(value));
    if (i != j) atomicAdd(entries + j * stride_0 + i * stride_1, static_cast<unsigned long long>(value));
  }
};

// One block an SM: all of up to 128 rows, a range of steps. partial: [blocks, kEntries].
template <class Format>
__global__ void __launch_bounds__(kThreads, 1)
    accumulate_kernel(const Source source, int64_t steps, int* __restrict__ partial,
                      unsigned long long* __restrict__ nonfinite) {
  using L = Lanes<Format>;
  // Two, so that one barrier a step is enough: who writes the next step's does not disturb who still reads this one's.
  __shared__ Codes<L::span> codes[2];
  __shared__ int ones[kTile];
  for (int k = threadIdx.x; k < Codes<L::span>::stride * kTile; k += kThreads) {
    codes[0].words[k] = 0;
    codes[1].words[k] = 0;
  }
  if (threadIdx.x < kTile) ones[threadIdx.x] = 0;
  __syncthreads();
  Pairs<kDiagonal> pairs;
  int buffer = 0;
  const int lane = threadIdx.x % kLanes;
  const int groups = source.rows > kGroupRows ? kGroups : 1;
  const uint32_t count = walk<Format>(
      source, 0, groups, steps * blockIdx.x / gridDim.x, steps * (blockIdx.x + 1) / gridDim.x,
      [&](int64_t, int64_t row, const uint32_t(&words)[L::words]) {
        int set = 0;
#pragma unroll
        for (int w = 0; w < L::words; ++w) {
          codes[buffer].at(static_cast<int>(row), w * kLanes + lane) = words[w];
          set += __popc(words[w]);
        }
        atomicAdd(ones + row, set);
      },
      [&] {
        __syncthreads();
        pairs.add(codes[buffer], codes[buffer]);
        buffer ^= 1;
      });
  add_nonfinite(count, nonfinite);
  __syncthreads();
  store(pairs, ones, partial + static_cast<int64_t>(blockIdx.x) * kEntries);
}

// kernel[i, j] += weight * (units - distance), the distances summed over `parts` blocks. Warps share the parts.
constexpr int kFinishWarps = 8;
__global__ void __launch_bounds__(kFinishWarps* kWarp)
    finish_kernel(const int* __restrict__ partial, int parts, int64_t units, int64_t weight, const Kernel kernel) {
  __shared__ int64_t shared[kFinishWarps][kWarp];
  using P = Pairs<kDiagonal>;
  const int lane = threadIdx.x % kWarp;
  const int share = threadIdx.x / kWarp;
  int64_t distance = 0;
#pragma unroll 4
  for (int part = share; part < parts; part += kFinishWarps) {
    distance += partial[static_cast<int64_t>(part) * kEntries + blockIdx.x * kWarp + lane];
  }
  shared[share][lane] = distance;
  __syncthreads();
  if (share != 0) return;
  for (int k = 1; k < kFinishWarps; ++k) distance += shared[k][lane];
  const int i = blockIdx.x % 4;
  const int k = blockIdx.x / 4 % kDiagonal;
  const int warp = blockIdx.x / 4 / kDiagonal;
  const int band = warp % kBands;
  const int64_t row = band * kBand + P::left(lane, i);
  const int64_t column = (band + k) % kBands * kBand + warp / kBands * kStrip + P::right(lane, i);
  if (row >= kernel.rows || column >= kernel.rows) return;
  if (k == 0 && row > column) return;                    // within a band both orders are there
  if (k == kDiagonal - 1 && band >= kBands / 2) return;  // bands 4 apart meet twice
  kernel.add(row, column, weight * (units - distance));
}

// words[row * row_words + w]: the codes of all rows, `steps` steps.
template <class Format>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const Source source, int64_t steps, int64_t row_words, uint32_t* __restrict__ words,
                unsigned long long* __restrict__ nonfinite) {
  using L = Lanes<Format>;
  const int lane = threadIdx.x % kLanes;
  const uint32_t count = walk<Format>(
      source, static_cast<int64_t>(blockIdx.x) * kGroupRows, 1, steps * blockIdx.y / gridDim.y,
      steps * (blockIdx.y + 1) / gridDim.y,
      [&](int64_t step, int64_t row, const uint32_t(&made)[L::words]) {
        if (row >= source.rows) return;
#pragma unroll
        for (int w = 0; w < L::words; ++w) words[row * row_words + step * L::span + w * kLanes + lane] = made[w];
      },
      [] {});
  add_nonfinite(count, nonfinite);
}

// Codes that are packed: rows of `stride` words of 32 bits, compared in chunks. Rows begin at multiples of 8 bytes.
struct Words {
  const uint32_t* words;
  int64_t rows, stride, chunks;
};
constexpr int kChunk = 16;  // words
constexpr int kAhead = 4;   // chunks on the way
static_assert(kChunk * 32 == kWordsStep * 64, "words come in whole chunks");

// A thread's part of a chunk of a tile: 4 threads side by side read 32 bytes of a row, then the next 32.
struct Part {
  uint2 halves[2];
};
static_assert(kTile * kChunk * 4 == kThreads * sizeof(Part));

// Where there is nothing to read, what was there stays; as in refill().
__device__ __forceinline__ void fetch(const Words& source, int64_t first, int64_t chunk, int64_t end, Part& part) {
  const int64_t row = first + threadIdx.x / 4;
  if (row >= source.rows || chunk >= end) return;
  const auto* const from = reinterpret_cast<const uint2*>(source.words + row * source.stride + chunk * kChunk);
  part.halves[0] = __ldg(from + threadIdx.x % 4);
  part.halves[1] = __ldg(from + threadIdx.x % 4 + kChunk / 4);
}

__device__ __forceinline__ void stage(const Part& part, Codes<kChunk>& codes, int* ones) {
  const int row = threadIdx.x / 4;
  int set = 0;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int word = threadIdx.x % 4 * 2 + half * kChunk / 2;
    const uint2 pair = part.halves[half];
    codes.at(row, word) = pair.x;
    codes.at(row, word + 1) = pair.y;
    set += __popc(pair.x) + __popc(pair.y);
  }
  atomicAdd(ones + row, set);
}

// Up to 128 rows. Block x: a range of chunks. partial: [blocks, kEntries].
__global__ void __launch_bounds__(kThreads, 1) tile_kernel(const Words source, int* __restrict__ partial) {
  __shared__ Codes<kChunk> codes[2];
  __shared__ int ones[kTile];
  const int64_t begin = source.chunks * blockIdx.x / gridDim.x;
  const int64_t end = source.chunks * (blockIdx.x + 1) / gridDim.x;
  if (threadIdx.x < kTile) ones[threadIdx.x] = 0;
  __syncthreads();
  Pairs<kDiagonal> pairs;
  Part ring[kAhead] = {};
#pragma unroll
  for (int k = 0; k < kAhead; ++k) fetch(source, 0, begin + k, end, ring[k]);
  for (int64_t chunk = begin; chunk < end; chunk += kAhead) {
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      if (chunk + k >= end) break;
      stage(ring[k], codes[k % 2], ones);
      fetch(source, 0, chunk + k + kAhead, end, ring[k]);
      __syncthreads();
      pairs.add(codes[k % 2], codes[k % 2]);
    }
  }
  __syncthreads();
  store(pairs, ones, partial + static_cast<int64_t>(blockIdx.x) * kEntries);
}

// More rows. Block (x, y, z): the pairs of tile y and tile x >= y, the z-th range of chunks.
__global__ void __launch_bounds__(kThreads, 1)
    tiles_kernel(const Words source, int64_t units, int64_t weight, const Kernel kernel) {
  if (blockIdx.x < blockIdx.y) return;
  __shared__ Codes<kChunk> rows[2];
  __shared__ Codes<kChunk> columns[2];
  __shared__ int row_ones[kTile];
  __shared__ int column_ones[kTile];
  using P = Pairs<kBands>;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t first_column = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t begin = source.chunks * blockIdx.z / gridDim.z;
  const int64_t end = source.chunks * (blockIdx.z + 1) / gridDim.z;
  if (threadIdx.x < kTile) {
    row_ones[threadIdx.x] = 0;
    column_ones[threadIdx.x] = 0;
  }
  __syncthreads();
  P pairs;
  Part next_rows = {};
  Part next_columns = {};
  fetch(source, first_row, begin, end, next_rows);
  fetch(source, first_column, begin, end, next_columns);
  int buffer = 0;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    stage(next_rows, rows[buffer], row_ones);
    stage(next_columns, columns[buffer], column_ones);
    fetch(source, first_row, chunk + 1, end, next_rows);
    fetch(source, first_column, chunk + 1, end, next_columns);
    __syncthreads();
    pairs.add(rows[buffer], columns[buffer]);
    buffer ^= 1;
  }
  __syncthreads();
  // The units that no block has are those of padding: the first block of a pair answers for all.
  const int64_t mine = blockIdx.z == 0 ? units : 0;
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int k = 0; k < kBands; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = P::band() * kBand + P::left(lane, i);
      const int column = (P::band() + k) % kBands * kBand + P::half() * kStrip + P::right(lane, i);
      if (first_row + row > first_column + column || first_column + column >= kernel.rows) continue;
      const int64_t distance = row_ones[row] + column_ones[column] - 2 * pairs.sums[k][i];
      kernel.add(first_row + row, first_column + column, weight * (mine - distance));
    }
  }
}

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

int64_t multiprocessors(const at::Device& device) {
  int count = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device.index()));
  return count;
}

Kernel entries_of(at::Tensor& kernel) {
  return {reinterpret_cast<unsigned long long*>(kernel.data_ptr<int64_t>()), kernel.size(0), kernel.stride(0),
          kernel.stride(1)};
}

void finish(at::Tensor& kernel, const at::Tensor& partial, int64_t units, int64_t weight, cudaStream_t stream) {
  finish_kernel<<<kEntries / kWarp, kFinishWarps * kWarp, 0, stream>>>(
      partial.const_data_ptr<int>(), static_cast<int>(partial.size(0)), units, weight, entries_of(kernel));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

void compare(at::Tensor& kernel, const Words& words, int64_t units, int64_t weight, cudaStream_t stream) {
  const int64_t processors = multiprocessors(kernel.device());
  const int64_t least = divide_up(words.chunks, kMostUnits / (kChunk * 32));
  if (words.rows <= kTile) {
    // Below 8 chunks, writing the partial distances takes longer than reading the words.
    const int64_t blocks = std::max({int64_t{1}, least, std::min(words.chunks / 8, processors)});
    const at::Tensor partial = at::empty({blocks, kEntries}, kernel.options().dtype(at::kInt));
    tile_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(words, partial.data_ptr<int>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    finish(kernel, partial, units, weight, stream);
    return;
  }
  const int64_t tiles = divide_up(words.rows, kTile);
  TORCH_CHECK_VALUE(tiles <= kMostBlocks, "The CUDA kernel takes at most ", kMostBlocks * kTile, " images, got ",
                    words.rows, ". Use a smaller batch.");
  const int64_t shared = processors / (tiles * (tiles + 1) / 2);
  const int64_t blocks = std::max({int64_t{1}, least, std::min(words.chunks / 16, shared)});
  TORCH_CHECK_VALUE(blocks <= kMostBlocks, "The CUDA kernel takes at most ", kMostBlocks * kMostUnits,
                    " units an image, got ", units, ". Use fewer at a time.");
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(tiles), static_cast<unsigned>(blocks));
  tiles_kernel<<<grid, kThreads, 0, stream>>>(words, units, weight, entries_of(kernel));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

template <class Format>
void accumulate(at::Tensor& kernel, const Rows& rows, unsigned long long* nonfinite, cudaStream_t stream) {
  using L = Lanes<Format>;
  const void* const numbers = rows.owner.const_data_ptr();
  const bool aligned =
      reinterpret_cast<uintptr_t>(numbers) % 16 == 0 && (rows.count == 1 || rows.stride * L::size % 16 == 0);
  const Source source{numbers, rows.count, rows.units, rows.stride, aligned ? rows.units / L::units : 0};
  const int64_t processors = multiprocessors(kernel.device());
  if (rows.count <= kTile) {
    const int64_t steps = divide_up(rows.units, L::units);
    const int64_t blocks = std::max(std::min(steps, processors), divide_up(rows.units, kMostUnits));
    const at::Tensor partial = at::empty({blocks, kEntries}, kernel.options().dtype(at::kInt));
    accumulate_kernel<Format>
        <<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(source, steps, partial.data_ptr<int>(), nonfinite);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    finish(kernel, partial, rows.units, 1, stream);
    return;
  }
  const int64_t chunks = divide_up(rows.units, kChunk * 32);
  const int64_t row_words = chunks * kChunk;
  const int64_t steps = row_words / L::span;
  const at::Tensor bits = at::empty({rows.count, row_words}, kernel.options().dtype(at::kInt));
  auto* const words = reinterpret_cast<uint32_t*>(bits.data_ptr<int32_t>());
  const int64_t groups = divide_up(rows.count, kGroupRows);
  const int64_t blocks = std::min({steps, divide_up(4 * processors, groups), kMostBlocks});
  pack_kernel<Format><<<dim3(static_cast<unsigned>(groups), static_cast<unsigned>(blocks)), kThreads, 0, stream>>>(
      source, steps, row_words, words, nonfinite);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  compare(kernel, Words{words, rows.count, row_words, chunks}, rows.units, 1, stream);
}

}  // namespace

void hamming_accumulate_cuda(at::Tensor& kernel, const at::Tensor& activations,
                             const std::optional<at::Tensor>& nonfinite) {
  check_hamming_arguments(kernel, activations, nonfinite);
  const c10::cuda::CUDAGuard guard(kernel.device());
  const Rows rows = dense_rows(activations);
  if (rows.units == 0) return;
  mark_changed(kernel, nonfinite);
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  auto* const count = nonfinite ? reinterpret_cast<unsigned long long*>(nonfinite->data_ptr<int64_t>()) : nullptr;
  switch (rows.owner.scalar_type()) {
    case at::kHalf:
      return accumulate<Float16>(kernel, rows, count, stream);
    case at::kBFloat16:
      return accumulate<BFloat16>(kernel, rows, count, stream);
    case at::kFloat:
      return accumulate<Float32>(kernel, rows, count, stream);
    default:
      return accumulate<Float64>(kernel, rows, count, stream);
  }
}

void hamming_words_cuda(at::Tensor& kernel, const at::Tensor& words, int64_t units, int64_t weight) {
  check_words_arguments(kernel, words, units);
  if (units == 0) return;
  const c10::cuda::CUDAGuard guard(kernel.device());
  mark_changed(kernel, std::nullopt);
  const auto* const data = static_cast<const uint32_t*>(words.const_data_ptr());
  const int64_t stride = 2 * words.stride(0);
  compare(kernel, Words{data, words.size(0), stride, words.size(1) / kWordsStep}, units, weight,
          c10::cuda::getCurrentCUDAStream().stream());
}

}  // namespace naswot
