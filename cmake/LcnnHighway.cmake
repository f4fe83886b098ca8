# lcnn_simd: what loops in registers are compiled with, Debian's libhwy-dev where it is installed. Instruction sets whose
# registers have no fixed size are left out: arrays of such registers do not exist. So is AVX3_DL, which adds nothing to float
# arithmetic and which Highway 1.0.3 refuses where -march=native brings it (Sapphire Rapids).
add_library(lcnn_simd INTERFACE)
find_package(hwy CONFIG QUIET)
if(hwy_FOUND)
  target_link_libraries(lcnn_simd INTERFACE hwy::hwy)
  target_compile_definitions(lcnn_simd INTERFACE
    LCNN_HAS_HIGHWAY=1 "HWY_DISABLED_TARGETS=(HWY_AVX3_DL|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_RVV)")
  message(STATUS "CPU kernels: Highway ${hwy_VERSION} chooses the instruction set at run time")
elseif(LCNN_NATIVE_ARCH)
  message(STATUS "CPU kernels: without Highway (libhwy-dev), for the building machine's instruction set only")
else()
  message(STATUS "CPU kernels: without Highway (libhwy-dev), for the compiler's default instruction set only, which is slow")
endif()
