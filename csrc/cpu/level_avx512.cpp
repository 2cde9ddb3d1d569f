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
#include "passes.h"
#include "portable.h"

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

template <class Format>
int64_t pack(const void* source, int64_t units, uint64_t* words) {
  using Bits = typename Format::Bits;
  using V = Vector<Bits>;
  constexpr int64_t lanes = 64 / sizeof(Bits);
  const Bits* numbers = static_cast<const Bits*>(source);
  char* bits = reinterpret_cast<char*>(words);
  const __m512i one = V::set(1);
  const __m512i infinity = V::set(Format::infinity);
  const __m512i magnitude = V::set(static_cast<Bits>(~Bits{0}) >> 1);
  __m512i largest = _mm512_setzero_si512();
  const auto step = [&](__m512i x, int64_t u) {
    _mm_prefetch(reinterpret_cast<const char*>(numbers + u) + kPrefetchBytes, _MM_HINT_T1);
    const typename V::Mask active = V::less(V::subtract(x, one), infinity);
    std::memcpy(bits + u / 8, &active, sizeof(active));
    largest = V::max(largest, _mm512_and_si512(x, magnitude));
  };
  const int64_t whole = units / lanes * lanes;
  if (units % 64 != 0) words[units / 64] = 0;
#pragma GCC unroll 4
  for (int64_t u = 0; u < whole; u += lanes) step(_mm512_loadu_si512(numbers + u), u);
  if (whole < units) {
    const auto rest = static_cast<typename V::Mask>((uint64_t{1} << (units - whole)) - 1);
    step(V::load(rest, numbers + whole), whole);
  }
  const auto finite = V::less(largest, infinity);
  return finite == static_cast<typename V::Mask>(~0) ? 0 : count_nonfinite<Format>(numbers, units);
}

void distances(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* result) {
  for (int64_t i = 0; i < rows; i += kRowStep) {
    for (int64_t j = i; j < rows; j += kRowStep) {
      const uint64_t* a = packed + i * stride;
      const uint64_t* b = packed + j * stride;
      __m512i sums[kRowStep][kRowStep];
      for (auto& row : sums) {
        for (auto& sum : row) sum = _mm512_setzero_si512();
      }
      for (int64_t w = 0; w < words; w += kWordStep) {
        __m512i right[kRowStep];
#pragma GCC unroll 4
        for (int64_t c = 0; c < kRowStep; ++c) right[c] = _mm512_loadu_si512(b + c * stride + w);
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRowStep; ++r) {
          const __m512i left = _mm512_loadu_si512(a + r * stride + w);
#pragma GCC unroll 4
          for (int64_t c = 0; c < kRowStep; ++c) {
            const __m512i different = _mm512_popcnt_epi64(_mm512_xor_si512(left, right[c]));
            sums[r][c] = _mm512_add_epi64(sums[r][c], different);
          }
        }
      }
#pragma GCC unroll 4
      for (int64_t r = 0; r < kRowStep; ++r) {
#pragma GCC unroll 4
        for (int64_t c = 0; c < kRowStep; ++c) {
          result[(i + r) * rows + j + c] += static_cast<uint64_t>(_mm512_reduce_add_epi64(sums[r][c]));
        }
      }
    }
  }
}

}  // namespace

const Level kAvx512 = {"avx512",      pack<Float16>, pack<BFloat16>,        pack<Float32>,
                       pack<Float64>, distances,     slogdet_portable<true>, kPasses};

}  // namespace naswot

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
