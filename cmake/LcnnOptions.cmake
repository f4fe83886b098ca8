# lcnn_options: what every target of ours is compiled with.
add_library(lcnn_options INTERFACE)
target_include_directories(lcnn_options INTERFACE ${CMAKE_SOURCE_DIR})
# C++20 by flag, in both languages: CMake 3.25 does not know that nvcc 13 takes it.
# Designated initialisers leave fields at their defaults on purpose.
target_compile_options(lcnn_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-std=c++20 -Wall -Wextra -Wno-missing-field-initializers>)
if(LCNN_SANITIZE)
  target_compile_options(lcnn_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${LCNN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined>)
  target_link_options(lcnn_options INTERFACE -fsanitize=${LCNN_SANITIZE})
endif()
if(LCNN_HAS_CUDA)
  target_compile_definitions(lcnn_options INTERFACE LCNN_HAS_CUDA=1)
  target_compile_options(lcnn_options INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 --expt-relaxed-constexpr -lineinfo -Xcompiler=-Wall>)
endif()

# lcnn_native: what code that computes is compiled with besides. Not what includes LibTorch: inline functions of its
# headers would then exist twice in a program, for two processors.
add_library(lcnn_native INTERFACE)
if(LCNN_NATIVE_ARCH)
  target_compile_options(lcnn_native INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
