// The loops of the fused forward pass, compiled once a level like portable.h.
//
//   step        per 512 bits                     identity
//   affine      load x 3, mul, add, store        rounded twice, as written: no FMA (-ffp-contract=off)
//   rectify     cmp, blend                       NaN stays NaN, as in torch.relu
//   moments     2 x (load, add, ...)             lane l sums the numbers l, l + lanes, l + 2 lanes, ... of a block
//
// Vectors never cross the order of a sum: a lane's numbers are added one after another, then a channel's lanes, so every
// level gives the same bits. The second walk over a block finds it in the L1 cache.
#pragma once

#include <cstdint>

#include "level.h"

namespace naswot {
namespace {

void pass_add(float* __restrict sum, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

void pass_affine(float* __restrict out, const float* __restrict x, const float* __restrict scale,
                 const float* __restrict shift, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale[i] + shift[i];
}

void pass_add_affine(float* __restrict sum, const float* __restrict x, const float* __restrict scale,
                     const float* __restrict shift, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i] * scale[i] + shift[i];
}

void pass_divide(float* __restrict x, const float* __restrict columns, float rows, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] /= rows * columns[i];
}

void pass_rectify(float* __restrict out, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] <= 0 ? 0 : x[i];
}

// sums[c] = the sum over lanes c, c + channels, c + 2 channels, ...
void sum_of_lanes(const float* __restrict by_lane, int64_t channels, int64_t lanes, float* __restrict sums) {
  for (int64_t c = 0; c < channels; ++c) sums[c] = by_lane[c];
  for (int64_t l = channels; l < lanes; l += channels) {
    for (int64_t c = 0; c < channels; ++c) sums[c] += by_lane[l + c];
  }
}

void pass_moments(const float* __restrict x, int64_t pixels, int64_t channels, int64_t lanes,
                  float* __restrict scratch, float* __restrict mean, float* __restrict squares) {
  const int64_t count = pixels * channels;
  float* __restrict by_lane = scratch;
  float* __restrict means = scratch + lanes;
  for (int64_t l = 0; l < lanes; ++l) by_lane[l] = 0;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (int64_t l = 0; l < lanes; ++l) by_lane[l] += x[i + l];
  }
  for (int64_t l = 0; i + l < count; ++l) by_lane[l] += x[i + l];
  sum_of_lanes(by_lane, channels, lanes, mean);
  for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<float>(pixels);

  for (int64_t l = 0; l < lanes; l += channels) {
    for (int64_t c = 0; c < channels; ++c) means[l + c] = mean[c];
  }
  for (int64_t l = 0; l < lanes; ++l) by_lane[l] = 0;
  for (i = 0; i + lanes <= count; i += lanes) {
    for (int64_t l = 0; l < lanes; ++l) {
      const float difference = x[i + l] - means[l];
      by_lane[l] += difference * difference;
    }
  }
  for (int64_t l = 0; i + l < count; ++l) {
    const float difference = x[i + l] - means[l];
    by_lane[l] += difference * difference;
  }
  sum_of_lanes(by_lane, channels, lanes, squares);
}

constexpr Passes kPasses = {pass_add, pass_affine, pass_add_affine, pass_divide, pass_rectify, pass_moments};

}  // namespace
}  // namespace naswot
