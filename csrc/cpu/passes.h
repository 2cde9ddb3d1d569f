// The loops of the fused forward pass, compiled once a level like portable.h.
//
//   step        per 16 numbers                            identity
//   affine      load x 3, mul, add, store                 rounded twice, as written: no FMA (-ffp-contract=off)
//   pool3       load x 9, add x 8, div, store             the window in row-major order, as torch adds it
//   finish      (load, add), cmp, blend, store x 2, bits  NaN stays NaN in max(x, 0), as in torch.relu
//   moments     2 x (load, add, ...)                      lane l sums the numbers l, l + lanes, l + 2 lanes, ...
//
// Vectors never change the order of a sum: a lane's numbers are added one after another, then a channel's lanes, so every
// level gives the same bits. What a level has to provide is `positive_bits`. The second walk of `moments` over a block
// finds it in the L1 cache, while the next block is on its way.
#pragma once

#include <cstdint>
#include <cstring>

#include "../formats.h"
#include "level.h"

namespace naswot {
namespace {

// A cache line of numbers. The compiler cuts it to the vectors of the level.
constexpr int64_t kLine = 16;
using Line = float __attribute__((vector_size(64), aligned(4), may_alias));
using LineBits = uint32_t __attribute__((vector_size(64), aligned(4), may_alias));

// Numbers that are asked for ahead: two rows of a 16 x 32 map, or one and a bit of most others.
constexpr int64_t kAhead = 1024;

inline const Line& line(const float* p) { return *reinterpret_cast<const Line*>(p); }
inline Line& line(float* p) { return *reinterpret_cast<Line*>(p); }

void pass_add(float* sum, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLine <= n; i += kLine) {
    __builtin_prefetch(x + i + kAhead, 0, 2);
    line(sum + i) += line(x + i);
  }
  for (; i < n; ++i) sum[i] += x[i];
}

template <bool kAdd>
void pass_affine(float* sum, const float* x, const float* scale, const float* shift, int64_t n) {
  int64_t i = 0;
  for (; i + kLine <= n; i += kLine) {
    __builtin_prefetch(x + i + kAhead, 0, 2);
    const Line y = line(x + i) * line(scale + i) + line(shift + i);
    line(sum + i) = kAdd ? line(sum + i) + y : y;
  }
  for (; i < n; ++i) {
    const float y = x[i] * scale[i] + shift[i];
    sum[i] = kAdd ? sum[i] + y : y;
  }
}

void pass_divide(float* x, const float* columns, float rows, int64_t n) {
  int64_t i = 0;
  for (; i + kLine <= n; i += kLine) line(x + i) /= rows * line(columns + i);
  for (; i < n; ++i) x[i] /= rows * columns[i];
}

// out[i] = (sum of rows[r][i + k] for each row r and each k in {-channels, 0, channels} that is wanted) / divisor
template <int kRows, bool kLeft, bool kRight>
void pool3_span(float* out, const float* const* rows, int64_t channels, int64_t begin, int64_t end, float divisor) {
  const auto window = [&](auto& sum, auto load, int64_t i) {
    sum = load(rows[0] + i - (kLeft ? channels : 0));
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      if (kLeft && r > 0) sum += load(rows[r] + i - channels);
      if (kLeft || r > 0) sum += load(rows[r] + i);
      if (kRight) sum += load(rows[r] + i + channels);
    }
    sum /= divisor;
  };
  int64_t i = begin;
  for (; i + kLine <= end; i += kLine) {
    Line sum;
    window(sum, [](const float* p) -> const Line& { return line(p); }, i);
    line(out + i) = sum;
  }
  for (; i < end; ++i) window(out[i], [](const float* p) -> const float& { return *p; }, i);
}

template <int kRows>
void pool3_row(float* out, const float* const* rows, int64_t width, int64_t channels, float inner, float outer) {
  const int64_t n = width * channels;
  if (width == 1) {
    pool3_span<kRows, false, false>(out, rows, channels, 0, n, outer);
    return;
  }
  pool3_span<kRows, false, true>(out, rows, channels, 0, channels, outer);
  pool3_span<kRows, true, true>(out, rows, channels, channels, n - channels, inner);
  pool3_span<kRows, true, false>(out, rows, channels, n - channels, n, outer);
}

void pass_pool3(float* out, const float* const* rows, int64_t count, int64_t width, int64_t channels, float inner,
                float outer) {
  if (count == 3) {
    pool3_row<3>(out, rows, width, channels, inner, outer);
  } else if (count == 2) {
    pool3_row<2>(out, rows, width, channels, inner, outer);
  } else {
    pool3_row<1>(out, rows, width, channels, inner, outer);
  }
}

template <bool kAdd, bool kAffine>
int64_t finish(const float* before, const float* x, const float* scale, const float* shift, int64_t n, float* sum,
               float* rectified, uint64_t* words) {
  const LineBits magnitude = LineBits{} + 0x7FFFFFFFu;
  LineBits wild = {};
  if (words != nullptr && n % 64 != 0) words[n / 64] = 0;
  char* const bits = reinterpret_cast<char*>(words);
  int64_t i = 0;
  for (; i + kLine <= n; i += kLine) {
    __builtin_prefetch(x + i + kAhead, 0, 2);
    Line y = line(x + i);
    if (kAffine) y = y * line(scale + i) + line(shift + i);
    if (kAdd) y = line(before + i) + y;
    if (words != nullptr) {
      const auto u = reinterpret_cast<const LineBits&>(y);
      const uint16_t active = positive_bits(u);
      std::memcpy(bits + i / 8, &active, sizeof(active));
      wild -= reinterpret_cast<LineBits>((u & magnitude) >= Float32::infinity);
    }
    if (sum != nullptr) line(sum + i) = y;
    if (rectified != nullptr) line(rectified + i) = y <= 0 ? Line{} : y;
  }
  int64_t count = 0;
  for (int64_t k = 0; k < kLine; ++k) count += wild[k];
  for (; i < n; ++i) {
    float y = x[i];
    if (kAffine) y = y * scale[i] + shift[i];
    if (kAdd) y = before[i] + y;
    if (words != nullptr) {
      uint32_t u;
      std::memcpy(&u, &y, sizeof(u));
      words[i / 64] |= static_cast<uint64_t>(u - 1 < Float32::infinity) << (i % 64);
      count += (u & Float32::infinity) == Float32::infinity;
    }
    if (sum != nullptr) sum[i] = y;
    if (rectified != nullptr) rectified[i] = y <= 0 ? 0 : y;
  }
  return count;
}

int64_t pass_finish(const float* before, const float* x, const float* scale, const float* shift, int64_t n, float* sum,
                    float* rectified, uint64_t* words) {
  if (before == nullptr) {
    return (scale == nullptr ? finish<false, false> : finish<false, true>)(before, x, scale, shift, n, sum, rectified,
                                                                           words);
  }
  return (scale == nullptr ? finish<true, false> : finish<true, true>)(before, x, scale, shift, n, sum, rectified,
                                                                       words);
}

// sums[c] = the sum over lanes c, c + channels, c + 2 channels, ...
void sum_of_lanes(const float* __restrict by_lane, int64_t channels, int64_t lanes, float* __restrict sums) {
  for (int64_t c = 0; c < channels; ++c) sums[c] = by_lane[c];
  for (int64_t l = channels; l < lanes; l += channels) {
    for (int64_t c = 0; c < channels; ++c) sums[c] += by_lane[l + c];
  }
}

// by_lane[l] = the sum over the numbers x of lane l, to which each(sum, x, l) adds; so few lanes stay in registers.
template <class Each>
inline __attribute__((always_inline)) void sum_in_registers(const float* x, int64_t count, float* by_lane, bool ahead,
                                                            Each each) {
  constexpr int64_t lines = kMomentLanes / kLine;
  Line sums[lines] = {};
  for (int64_t i = 0; i < count; i += kMomentLanes) {
#pragma GCC unroll 8
    for (int64_t l = 0; l < lines; ++l) {
      if (ahead) __builtin_prefetch(x + count + i + l * kLine, 0, 3);
      each(sums[l], line(x + i + l * kLine), l * kLine);
    }
  }
  for (int64_t l = 0; l < lines; ++l) line(by_lane + l * kLine) = sums[l];
}

void pass_moments(const float* x, int64_t pixels, int64_t channels, int64_t lanes, float* scratch, float* mean,
                  float* squares) {
  const int64_t count = pixels * channels;
  const int64_t whole = count / lanes * lanes;
  float* const by_lane = scratch;
  float* const means = scratch + lanes;
  const bool in_registers = lanes == kMomentLanes;
  if (in_registers) {
    sum_in_registers(x, whole, by_lane, false, [](Line& sum, const Line& y, int64_t) { sum += y; });
  } else {
    for (int64_t l = 0; l < lanes; ++l) by_lane[l] = 0;
    for (int64_t i = 0; i < whole; i += lanes) {
      for (int64_t l = 0; l < lanes; ++l) by_lane[l] += x[i + l];
    }
  }
  for (int64_t l = 0; whole + l < count; ++l) by_lane[l] += x[whole + l];
  sum_of_lanes(by_lane, channels, lanes, mean);
  for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<float>(pixels);

  for (int64_t l = 0; l < lanes; l += channels) std::memcpy(means + l, mean, channels * sizeof(float));
  if (in_registers) {
    sum_in_registers(x, whole, by_lane, true, [means](Line& sum, const Line& y, int64_t l) {
      const Line difference = y - line(means + l);
      sum += difference * difference;
    });
  } else {
    for (int64_t l = 0; l < lanes; ++l) by_lane[l] = 0;
    for (int64_t i = 0; i < whole; i += lanes) {
      for (int64_t l = 0; l < lanes; ++l) by_lane[l] += (x[i + l] - means[l]) * (x[i + l] - means[l]);
    }
  }
  for (int64_t l = 0; whole + l < count; ++l) {
    by_lane[l] += (x[whole + l] - means[l]) * (x[whole + l] - means[l]);
  }
  sum_of_lanes(by_lane, channels, lanes, squares);
}

constexpr Passes kPasses = {pass_add,   pass_affine<false>, pass_affine<true>, pass_divide,
                            pass_pool3, pass_finish,        pass_moments};

}  // namespace
}  // namespace naswot
