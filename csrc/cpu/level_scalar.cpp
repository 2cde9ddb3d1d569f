// Portable C++ for any processor.
//
//   step        instructions                             cost
//   pack        integer compare, 8 bytes -> 8 bits by    one multiplication per 8 units
//               one multiplication
//   distances   xor, SWAR popcount                       10 integer operations per 64 units and pair
//   slogdet     double-double, Dekker products           33 flops per entry and step
//
// The popcount adds neighbouring fields until each byte counts its own bits (at most 8), so 31 words can be added
// bytewise before the bytes are summed.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "../formats.h"
#include "level.h"
#include "portable.h"

namespace naswot {
namespace {

template <class T>
uint16_t positive_bits(const T& line) {
  uint16_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<uint16_t>(line[i] - 1 < Float32::infinity) << i;
  return bits;
}

}  // namespace
}  // namespace naswot

#include "passes.h"

namespace naswot {
namespace {

uint64_t byte_counts(uint64_t x) {
  x -= (x >> 1) & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  return (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
}

uint64_t sum_of_bytes(uint64_t x) {
  const uint64_t pairs = (x & 0x00FF00FF00FF00FFu) + ((x >> 8) & 0x00FF00FF00FF00FFu);
  return pairs * 0x0001000100010001u >> 48;
}

uint64_t distance(const uint64_t* a, const uint64_t* b, int64_t words) {
  uint64_t sum = 0;
  for (int64_t begin = 0; begin < words; begin += 3 * kWordStep) {
    const int64_t end = begin + 3 * kWordStep < words ? begin + 3 * kWordStep : words;
    uint64_t counts = 0;
    for (int64_t w = begin; w < end; ++w) counts += byte_counts(a[w] ^ b[w]);
    sum += sum_of_bytes(counts);
  }
  return sum;
}

template <class Format>
int64_t pack(const char* numbers, int64_t row_bytes, int64_t rows, int64_t units, uint64_t* words, int64_t stride) {
  int64_t nonfinite = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const auto* row = reinterpret_cast<const typename Format::Bits*>(numbers + r * row_bytes);
    nonfinite += pack_portable<Format>(row, units, words + r * stride);
  }
  return nonfinite;
}

// Takes far longer than the memory, which need not be asked ahead.
void distances(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* result, const Ahead&) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = i + 1; j < rows; ++j) {
      result[i * rows + j] += distance(packed + i * stride, packed + j * stride, words);
    }
  }
}

#if defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

}  // namespace

const Level kScalar = {"scalar",
                       pack<Float16>,
                       pack<BFloat16>,
                       pack<Float32>,
                       pack<Float64>,
                       distances,
                       slogdet_portable<kFused>,
                       kPasses};

}  // namespace naswot
