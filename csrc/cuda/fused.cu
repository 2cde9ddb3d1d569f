// Stand-in until the CUDA kernels of the fused pass land.
#include "../naswot.h"

namespace naswot {

at::Tensor batch_norm_affine_cuda(const at::Tensor&, const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                                  double) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "not on CUDA yet");
}
void combine_cuda(at::TensorList, const Affines&, at::IntArrayRef, const std::optional<at::Tensor>&,
                  const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                  const std::optional<at::Tensor>&) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "not on CUDA yet");
}
void hamming_words_cuda(at::Tensor&, const at::Tensor&, int64_t, int64_t) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "not on CUDA yet");
}

}  // namespace naswot
