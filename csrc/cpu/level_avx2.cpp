// AVX2 with FMA (Haswell, Zen and later).
//
//   step        instructions (256 bits)                         cost (Haswell and later)
//   pack        vpcmpgt x 2, vpandn, vpacks, vpmovmskb          3 per vector of 4 to 16 units + 1 to 2 to narrow
//               vpand, vpcmpgt, vpor                            3 per vector: the non-finite check
//   distances   vpxor, vpand x 2, vpsrl, vpshufb x 2, vpadd x 2 8 per 256 units and pair; vpsadbw every 31 vectors
//   slogdet     double-double, vfmadd                           17 flops per entry and step, 4 entries at once
//
// Identities: as signed integers, 0 < x <= inf is x > 0 and not x > inf (naswot.h). Narrowing with vpacks shuffles the
// units within a word, for every row alike, which no Hamming distance can see. A nibble's popcount is a look-up in a
// 16-entry table held in a register, and a byte can add 31 of those sums of two nibbles (at most 8 each).
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
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include "../slogdet.h"
#include "portable.h"

namespace naswot {
namespace {

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

template <class T>
uint16_t positive_bits(const T& line) {
  const auto half = [](__m256i x) {
    const __m256i infinity = _mm256_set1_epi32(Float32::infinity);
    const __m256i positive = _mm256_cmpgt_epi32(x, _mm256_setzero_si256());
    return _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(x, infinity), positive)));
  };
  const char* const p = reinterpret_cast<const char*>(&line);
  return static_cast<uint16_t>(half(load(p)) | half(load(p + 32)) << 8);
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
  static __m256i set(uint16_t x) { return _mm256_set1_epi16(static_cast<int16_t>(x)); }
  static __m256i greater(__m256i a, __m256i b) { return _mm256_cmpgt_epi16(a, b); }
};

template <>
struct Vector<uint32_t> {
  static __m256i set(uint32_t x) { return _mm256_set1_epi32(static_cast<int32_t>(x)); }
  static __m256i greater(__m256i a, __m256i b) { return _mm256_cmpgt_epi32(a, b); }
};

template <>
struct Vector<uint64_t> {
  static __m256i set(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
  static __m256i greater(__m256i a, __m256i b) { return _mm256_cmpgt_epi64(a, b); }
};

// 32 units' 0 / -1 fields to 32 bits.
template <class Fields>
uint32_t narrow(const Fields& fields, uint16_t) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(fields(0), fields(1))));
}

template <class Fields>
uint32_t narrow(const Fields& fields, uint32_t) {
  const __m256i low = _mm256_packs_epi32(fields(0), fields(1));
  const __m256i high = _mm256_packs_epi32(fields(2), fields(3));
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(low, high)));
}

template <class Fields>
uint32_t narrow(const Fields& fields, uint64_t) {
  uint32_t bits = 0;
  for (int v = 0; v < 8; ++v) {
    bits |= static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(fields(v)))) << (4 * v);
  }
  return bits;
}

// `rows` rows side by side.
template <class Format, int64_t rows>
int64_t pack_together(const char* numbers, int64_t row_bytes, int64_t units, uint64_t* words, int64_t stride) {
  using Bits = typename Format::Bits;
  using V = Vector<Bits>;
  constexpr int64_t lanes = 32 / sizeof(Bits);
  const __m256i zero = _mm256_setzero_si256();
  const __m256i infinity = V::set(Format::infinity);
  const __m256i below_infinity = V::set(Format::infinity - 1);
  const __m256i magnitude = V::set(static_cast<Bits>(~Bits{0}) >> 1);
  __m256i nonfinite = zero;
  const int64_t whole = units / 64 * 64;
  const auto row = [&](int64_t r) { return reinterpret_cast<const Bits*>(numbers + r * row_bytes); };
  for (int64_t u = 0; u < whole; u += 32) {
#pragma GCC unroll 4
    for (int64_t r = 0; r < rows; ++r) {
      const auto fields = [&](int v) {
        const __m256i x = load(row(r) + u + v * lanes);
        nonfinite = _mm256_or_si256(nonfinite, V::greater(_mm256_and_si256(x, magnitude), below_infinity));
        return _mm256_andnot_si256(V::greater(x, infinity), V::greater(x, zero));
      };
      const uint32_t active = narrow(fields, Bits{});
      std::memcpy(reinterpret_cast<char*>(words + r * stride) + u / 8, &active, sizeof(active));
    }
  }
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (!_mm256_testz_si256(nonfinite, nonfinite)) count += count_nonfinite<Format>(row(r), whole);
    if (units > whole) count += pack_portable<Format>(row(r) + whole, units - whole, words + r * stride + whole / 64);
  }
  return count;
}

uint64_t sum(__m256i x) {
  const __m128i halves = _mm_add_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(halves)) + static_cast<uint64_t>(_mm_extract_epi64(halves, 1));
}

void distances(const uint64_t* packed, int64_t rows, int64_t words, int64_t stride, uint64_t* result,
               const Ahead& ahead) {
  constexpr int64_t tile = 2;
  static_assert(kRowStep % tile == 0 && kWordStep % 4 == 0, "no tile and no vector is cut");
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(0x0F);
  const __m256i zero = _mm256_setzero_si256();
  Prefetcher next(ahead);
  for (int64_t i = 0; i < rows; i += tile) {
    for (int64_t j = i; j < rows; j += tile) {
      const uint64_t* a = packed + i * stride;
      const uint64_t* b = packed + j * stride;
      __m256i sums[tile][tile] = {{zero, zero}, {zero, zero}};
      for (int64_t begin = 0; begin < words; begin += 4 * 31) {
        const int64_t end = begin + 4 * 31 < words ? begin + 4 * 31 : words;
        __m256i bytes[tile][tile] = {{zero, zero}, {zero, zero}};
        for (int64_t w = begin; w < end; w += 4) {
          // Four lines in some 60 cycles: less than main memory gives one core.
          if (w / 4 % 4 == 0) next.step();
#pragma GCC unroll 2
          for (int64_t r = 0; r < tile; ++r) {
            const __m256i left = load(a + r * stride + w);
#pragma GCC unroll 2
            for (int64_t c = 0; c < tile; ++c) {
              const __m256i x = _mm256_xor_si256(left, load(b + c * stride + w));
              const __m256i low = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, nibble));
              const __m256i high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
              bytes[r][c] = _mm256_add_epi8(bytes[r][c], _mm256_add_epi8(low, high));
            }
          }
        }
        for (int64_t r = 0; r < tile; ++r) {
          for (int64_t c = 0; c < tile; ++c) {
            sums[r][c] = _mm256_add_epi64(sums[r][c], _mm256_sad_epu8(bytes[r][c], zero));
          }
        }
      }
      for (int64_t r = 0; r < tile; ++r) {
        for (int64_t c = 0; c < tile; ++c) result[(i + r) * rows + j + c] += sum(sums[r][c]);
      }
    }
  }
}

}  // namespace

const Level kAvx2 = {"avx2",        pack_rows<Float16>, pack_rows<BFloat16>,        pack_rows<Float32>,
                     pack_rows<Float64>, distances,     slogdet_portable<true>, kPasses};

}  // namespace naswot

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
