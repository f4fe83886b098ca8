#include "kernels/cuda/wgmma_product.h"

namespace lcnn::cuda {

void write_product(SourceOut out, Precision precision, int columns, ProductKind kind) {
  const bool narrow = element_bytes(precision) == 2, sparse = kind == ProductKind::sparse, registers = kind == ProductKind::registers;
  const char* type = precision == Precision::fp16 ? "f16" : precision == Precision::bf16 ? "bf16" : "tf32";
  const int sums = columns / 2, b = sums + (registers ? 4 : 1), accumulate = b + 1;
  fmt::format_to(out, "template <> struct {}Product<{}> {{\n", sparse ? "Sparse" : registers ? "Register" : "", columns);
  if (sparse) fmt::format_to(out, "  template <int kSelector>\n");
  fmt::format_to(out, "  static __device__ __forceinline__ void add(float (&d)[{}], {}, u64 b, {}int accumulate) {{\n", sums,
                 registers ? "const u32 (&a)[4]" : "u64 a", sparse ? "u32 metadata, " : "");
  fmt::format_to(out, "    asm volatile(\"{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{}, 0;\\n", accumulate);
  fmt::format_to(out, "wgmma.mma_async{}.sync.aligned.m64n{}k{}.f32.{}.{} {{", sparse ? ".sp" : "", columns, (narrow ? 16 : 8) * (sparse ? 2 : 1), type, type);
  for (int i = 0; i < sums; ++i) fmt::format_to(out, "{}%{}", i == 0 ? "" : ",", i);
  if (registers) {
    fmt::format_to(out, "}}, {{%{}, %{}, %{}, %{}}}, %{}, ", sums, sums + 1, sums + 2, sums + 3, b);
  } else {
    fmt::format_to(out, "}}, %{}, %{}, {}", sums, b, sparse ? fmt::format("%{}, %{}, ", accumulate + 1, accumulate + 2) : "");
  }
  fmt::format_to(out, "p, 1, 1{};\\n}}\"\n        : ", !narrow ? "" : registers ? ", 0" : ", 0, 0");
  for (int i = 0; i < sums; ++i) fmt::format_to(out, "{}\"+f\"(d[{}])", i == 0 ? "" : ", ", i);
  fmt::format_to(out, "\n        : {}, \"l\"(b), \"r\"(accumulate){});\n  }}\n}};\n", registers ? "\"r\"(a[0]), \"r\"(a[1]), \"r\"(a[2]), \"r\"(a[3])" : "\"l\"(a)",
                 sparse ? ", \"r\"(metadata), \"n\"(kSelector)" : "");
}

}  // namespace lcnn::cuda
