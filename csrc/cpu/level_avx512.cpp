// AVX-512 with VPOPCNTDQ (Ice Lake, Sapphire Rapids, Zen 4 and later).
//
//   step        instructions (512 bits)                         cost (Ice Lake and later)
//   pack        vpsub, vpcmpu -> mask, mask to memory           2 + 1 per vector of 8 to 32 units
//               vpand, vpmaxu (largest magnitude)               2 per vector: the non-finite check
//   distances   vpxorq, vpopcntq, vpaddq                        3 on two ports: 1.5 cycles per 512 units and pair
//   slogdet     double-double, vfmadd                           17 flops per entry and step, 8 entries at once
//
// Identity: 0 < x <= inf on integers is (x - 1) < inf, unsigned (naswot.h). Rows are compared in tiles of 4 x 4: eight
// loads serve 16 pairs.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../formats.h"
#include "level.h"

// Only our own code may follow: an inline function of a system header, compiled with these instructions, could be
// the copy that the linker keeps for everyone.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vpopcntdq"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vpopcntdq")
#endif
#include "../slogdet.h"
#include "portable.h"

namespace naswot {
namespace {

template <class T>
uint16_t positive_bits(const T& line) {
  const __m512i x = _mm512_loadu_si512(&line);
  return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(x, _mm512_set1_epi32(1)), _mm512_set1_epi32(Float32::infinity));
}

}  // namespace
}  // namespace naswot

#include "passes.h"

namespace naswot {
namespace {

template <class Bits>
struct Vector;

template <>
struct Vector<uint16_t> {
  using Mask = __mmask32;
  static __m512i set(uint16_t x) { return _mm512_set1_epi16(static_cast<int16_t>(x)); }
  static __m512i load(Mask mask, const void* p) { return _mm512_maskz_loadu_epi16(mask, p); }
  static __m512i subtract(__m512i a, __m512i b) { return _mm512_sub_epi16(a, b); }
  static __m512i max(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }
  static Mask less(__m512i a, __m512i b) { return _mm512_cmplt_epu16_mask(a, b); }
};

template <>
struct Vector<uint32_t> {
  using Mask = __mmask16;
  static __m512i set(uint32_t x) { return _mm512_set1_epi32(static_cast<int32_t>(x)); }
  static __m512i load(Mask mask, const void* p) { return _mm512_maskz_loadu_epi32(mask, p); }
  static __m512i subtract(__m512i a, __m512i b) { return _mm512_sub_epi32(a, b); }
  static __m512i max(__m512i a, __m512i b) { return _mm512_max_epu32(a, b); }
  static Mask less(__m512i a, __m512i b) { return _mm512_cmplt_epu32_mask(a, b); }
};

template <>
struct Vector<uint64_t> {
  using Mask = __mmask8;
  static __m512i set(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
  static __m512i load(Mask mask, const void* p) { return _mm512_maskz_loadu_epi64(mask, p); }
  static __m512i subtract(__m512i a, __m512i b) { return _mm512_sub_epi64(a, b); }
  static __m512i max(__m512i a, __m512i b) { return _mm512_max_epu64(a, b); }
  static Mask less(__m512i a, __m512i b) { return _mm512_cmplt_epu64_mask(a, b); }
};

// `rows` rows side by side.
template <class Format, int64_t rows>
int64_t pack_together(const char* numbers, int64_t row_bytes, int64_t units, uint64_t* words, int64_t stride) {
  using Bits = typename Format::Bits;
  using V = Vector<Bits>;
  constexpr int64_t lanes = 64 / sizeof(Bits);
  const __m512i one = V::set(1);
  const __m512i infinity = V::set(Format::infinity);
  const __m512i magnitude = V::set(static_cast<Bits>(~Bits{0}) >> 1);
  __m512i largest[rows];
  for (auto& each : largest) each = _mm512_setzero_si512();
  const auto row = [&](int64_t r) { return reinterpret_cast<const Bits*>(numbers + r * row_bytes); };
  const auto step = [&](__m512i x, int64_t r, int64_t u) {
    const typename V::Mask active = V::less(V::subtract(x, one), infinity);
    std::memcpy(reinterpret_cast<char*>(words + r * stride) + u / 8, &active, sizeof(active));
    largest[r] = V::max(largest[r], _mm512_and_si512(x, magnitude));
  };
  const int64_t whole = units / lanes * lanes;
  if (units % 64 != 0) {
    for (int64_t r = 0; r < rows; ++r) words[r * stride + units / 64] = 0;
  }
  for (int64_t u = 0; u < whole; u += lanes) {
#pragma GCC unroll 4
    for (int64_t r = 0; r < rows; ++r) step(_mm512_loadu_si512(row(r) + u), r, u);
  }
  if (whole < units) {
    const auto rest = static_cast<typename V::Mask>((uint64_t{1} << (units - whole)) - 1);
#pragma GCC unroll 4
    for (int64_t r = 0; r < rows; ++r) step(V::load(rest, row(r) + whole), r, whole);
  }
  int64_t nonfinite = 0;
#pragma GCC unroll 4
  for (int64_t r = 0; r < rows; ++r) {
    const bool finite = V::less(largest[r], infinity) == static_cast<typename V::Mask>(~0);
    if (!finite) nonfinite += count_nonfinite<Format>(row(r), units);
  }
  return nonfinite;
}

// a's and b's eight numbers added up to four: a's in elements 0 and 2, b's in 1 and 3.
__m256i halves(__m512i a, __m512i b) {
  const __m512i pairs = _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  return _mm256_add_epi64(_mm512_castsi512_si256(pairs), _mm512_extracti64x4_epi64(pairs, 1));
}

__m256i sums(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m256i ab = halves(a, b);
  const __m256i cd = halves(c, d);
  return _mm256_add_epi64(_mm256_permute2x128_si256(ab, cd, 0x20), _mm256_permute2x128_si256(ab, cd, 0x31));
}

void distances(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* result,
               const Ahead& ahead) {
  static_assert(kRowStep == 4, "the sums of a tile's row are one vector of 256 bits");
  Prefetcher next(ahead);
  for (int64_t i = 0; i < rows; i += kRowStep) {
    for (int64_t j = i; j < rows; j += kRowStep) {
      const uint64_t* a = packed + i * stride;
      const uint64_t* b = packed + j * stride;
      __m512i counts[kRowStep][kRowStep];
      for (auto& row : counts) {
        for (auto& count : row) count = _mm512_setzero_si512();
      }
      for (int64_t w = 0; w < words; w += kWordStep) {
        // Four lines in 48 cycles are what main memory gives one core.
        if (w / kWordStep % 2 == 0) next.step();
        __m512i right[kRowStep];
#pragma GCC unroll 4
        for (int64_t c = 0; c < kRowStep; ++c) right[c] = _mm512_loadu_si512(b + c * stride + w);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRowStep; ++r) {
          const __m512i left = _mm512_loadu_si512(a + r * stride + w);
#pragma GCC unroll 4
          for (int64_t c = 0; c < kRowStep; ++c) {
            const __m512i different = _mm512_popcnt_epi64(_mm512_xor_si512(left, right[c]));
            counts[r][c] = _mm512_add_epi64(counts[r][c], different);
          }
        }
      }
#pragma GCC unroll 4
      for (int64_t r = 0; r < kRowStep; ++r) {
        auto* const to = reinterpret_cast<__m256i*>(result + (i + r) * rows + j);
        const __m256i row = sums(counts[r][0], counts[r][1], counts[r][2], counts[r][3]);
        _mm256_storeu_si256(to, _mm256_add_epi64(_mm256_loadu_si256(to), row));
      }
    }
  }
}

}  // namespace

const Level kAvx512 = {"avx512",      pack_rows<Float16>, pack_rows<BFloat16>,        pack_rows<Float32>,
                       pack_rows<Float64>, distances,     slogdet_portable<true>, kPasses};

}  // namespace naswot

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
