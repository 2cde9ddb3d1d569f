// Floating-point formats as unsigned integers; the identity that makes x > 0 an integer compare is in naswot.h.
#pragma once

#include <cstdint>

namespace naswot {

struct Float16 {
  using Bits = uint16_t;
  static constexpr Bits infinity = 0x7C00;
};
struct BFloat16 {
  using Bits = uint16_t;
  static constexpr Bits infinity = 0x7F80;
};
struct Float32 {
  using Bits = uint32_t;
  static constexpr Bits infinity = 0x7F800000;
};
struct Float64 {
  using Bits = uint64_t;
  static constexpr Bits infinity = 0x7FF0000000000000;
};

}  // namespace naswot
