// The last step of both ways to K: from distances to agreements.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace naswot {

// kernel += weight * (units - d), where d[i, j] is the sum over chunks of distances[chunk, i, j], of which only what lies
// above the diagonal is read; distances: [chunks, packed_rows, packed_rows].
void add_similarities(at::Tensor& kernel, const int64_t* distances, int64_t chunks, int64_t packed_rows, int64_t units,
                      int64_t weight);

}  // namespace naswot
