// What one instruction level provides, and which level runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace naswot {

// Packed rows are multiples of this many 64-bit words, zero filled: no kernel has a tail.
constexpr int64_t kWordStep = 8;
// Packed rows come in multiples of this, zero filled: no tile of row pairs is cut.
constexpr int64_t kRowStep = 4;

// Processors do not prefetch across a page, and a row is many pages: packing asks for the next one (10 to 15% faster
// from main memory on Sapphire Rapids). Past the end of the tensor a prefetch does nothing.
constexpr int64_t kPrefetchBytes = 4096;

constexpr int64_t slogdet_width(int64_t n) { return (n + kWordStep - 1) / kWordStep * kWordStep; }

// Elementwise over n numbers, and the moments of a block; each level gives the same bits.
struct Passes {
  void (*add)(float* sum, const float* x, int64_t n);                                                   // += x
  void (*affine)(float* out, const float* x, const float* scale, const float* shift, int64_t n);       // = x * a + b
  void (*add_affine)(float* sum, const float* x, const float* scale, const float* shift, int64_t n);   // += x * a + b
  void (*divide)(float* x, const float* columns, float rows, int64_t n);                               // /= rows * c
  void (*rectify)(float* out, const float* x, int64_t n);                                              // = max(x, 0)
  // Over `pixels` x `channels` numbers: means, and sums of squared differences from them. `scratch`: 2 * lanes.
  void (*moments)(const float* x, int64_t pixels, int64_t channels, int64_t lanes, float* scratch, float* mean,
                  float* squares);
};

struct Level {
  const char* name;

  // One row's `units` numbers to ceil(units / 64) words, bit set where the number is > 0; unused bits are zero.
  // The order of bits is the level's own, the same for every row. Returns the number of NaN and infinities.
  using Pack = int64_t (*)(const void* numbers, int64_t units, uint64_t* words);
  Pack pack_float16;
  Pack pack_bfloat16;
  Pack pack_float32;
  Pack pack_float64;

  // distances[i * rows + j] += Hamming distance of packed rows i and j, `words` words each and `stride` words apart, for
  // i < j at least (what lies on and below the diagonal is not to be read).
  void (*distances)(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* distances);

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
