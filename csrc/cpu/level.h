// What one instruction level provides, and which level runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace naswot {

// Packed rows are multiples of this many 64-bit words, zero filled: no kernel has a tail.
constexpr int64_t kWordStep = 8;
// Packed rows come in multiples of this, zero filled: no tile of row pairs is cut. As many rows are packed side by
// side: a processor prefetches along several pages at once (15% faster from main memory on Sapphire Rapids).
constexpr int64_t kRowStep = 4;

// What will be packed next: `rows` rows of `bytes` bytes each. Rows are compared without touching main memory, so that
// it has time to bring these near.
struct Ahead {
  const char* numbers = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;  // from one row to the next
  int64_t bytes = 0;
};

constexpr int64_t slogdet_width(int64_t n) { return (n + kWordStep - 1) / kWordStep * kWordStep; }

// Lanes of a sum over images and pixels: enough to hide the latency of an addition, few enough to be registers.
constexpr int64_t kMomentLanes = 128;

// The loops of the fused forward pass (passes.h), over n numbers. Each level gives the same bits.
struct Passes {
  void (*add)(float* sum, const float* x, int64_t n);                                                 // += x
  void (*affine)(float* sum, const float* x, const float* scale, const float* shift, int64_t n);      // = x * a + b
  void (*add_affine)(float* sum, const float* x, const float* scale, const float* shift, int64_t n);  // += x * a + b
  void (*divide)(float* x, const float* columns, float rows, int64_t n);                              // /= rows * c
  // A row of average pooling 3 x 3, stride 1, padding 1, over `count` rows of pixels; divided by `inner`, but in the
  // first and last column by `outer`.
  void (*pool3)(float* out, const float* const* rows, int64_t count, int64_t width, int64_t channels, float inner,
                float outer);
  // y = before + x * scale + shift (without `before`, or scale and shift, where null), written to each output that is
  // not null: y, max(y, 0) and ceil(n / 64) words of bits y > 0. Returns the number of NaN and infinite y, if `words`.
  int64_t (*finish)(const float* before, const float* x, const float* scale, const float* shift, int64_t n, float* sum,
                    float* rectified, uint64_t* words);
  // Over `pixels` x `channels` numbers: means, and sums of squared differences from them. `scratch`: 2 * lanes.
  void (*moments)(const float* x, int64_t pixels, int64_t channels, int64_t lanes, float* scratch, float* mean,
                  float* squares);
};

struct Level {
  const char* name;

  // Each row's `units` numbers to ceil(units / 64) words, bit set where the number is > 0; unused bits are zero.
  // Rows of numbers are `row_bytes` bytes apart, rows of words `stride` words. The order of bits is the level's own,
  // the same for every row. Returns the number of NaN and infinities.
  using Pack = int64_t (*)(const char* numbers, int64_t row_bytes, int64_t rows, int64_t units, uint64_t* words,
                           int64_t stride);
  Pack pack_rows_float16;
  Pack pack_rows_bfloat16;
  Pack pack_rows_float32;
  Pack pack_rows_float64;

  // distances[i * rows + j] += Hamming distance of packed rows i and j, `words` words each and `stride` words apart,
  // for i < j at least (what lies on and below the diagonal is not to be read). `ahead` is prefetched by and by.
  void (*distances_while)(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* distances,
                          const Ahead& ahead);

  void distances(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* sums) const {
    distances_while(packed, rows, words, stride, sums, {});
  }

  // One row-major n x n kernel; see slogdet.h. `scratch` holds 2 * n * slogdet_width(n) doubles.
  void (*slogdet)(const int64_t* kernel, int64_t n, double* scratch, double* sign, double* logabsdet);

  // The loops of the fused forward pass; see passes.h.
  Passes passes;
};

extern const Level kScalar;
#if defined(__x86_64__)
extern const Level kAvx2;
extern const Level kAvx512;
#endif

// The highest level that this processor supports, or the one that NASWOT_CPU_LEVEL names.
const Level& level();
std::vector<std::string> level_names(bool supported_only);

}  // namespace naswot
