// naswot::slogdet on the CPU: one matrix a task.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "../naswot.h"
#include "level.h"

namespace naswot {

std::tuple<at::Tensor, at::Tensor> slogdet_cpu(const at::Tensor& kernel) {
  check_slogdet_argument(kernel);
  const at::Tensor matrices = kernel.contiguous();
  const int64_t n = kernel.size(-1);
  const auto shape = kernel.sizes().slice(0, kernel.dim() - 2);
  const at::Tensor sign = at::empty(shape, at::kDouble);
  const at::Tensor logabsdet = at::empty(shape, at::kDouble);
  const Level& simd = level();
  at::parallel_for(0, sign.numel(), 1, [&](int64_t first, int64_t last) {
    const at::Tensor scratch = at::empty({2 * n * slogdet_width(n)}, at::kDouble);
    for (int64_t m = first; m < last; ++m) {
      simd.slogdet(matrices.const_data_ptr<int64_t>() + m * n * n, n, scratch.data_ptr<double>(),
                   sign.data_ptr<double>() + m, logabsdet.data_ptr<double>() + m);
    }
  });
  return {sign, logabsdet};
}

}  // namespace naswot
