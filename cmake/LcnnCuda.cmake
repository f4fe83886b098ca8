# Sets LCNN_HAS_CUDA and enables the CUDA language where nvcc is found.
set(LCNN_HAS_CUDA OFF)
if(NOT LCNN_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(LCNN_HAS_CUDA ON)
  elseif(LCNN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LCNN_CUDA=ON, but no nvcc was found: put it on PATH or set CMAKE_CUDA_COMPILER")
  else()
    message(STATUS "CUDA: no nvcc found, building for the CPU only")
  endif()
endif()

if(LCNN_HAS_CUDA)
  # Hopper's own instructions, and PTX from which a driver compiles for other GPUs of compute capability 8.0 and up.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-virtual 90a-real)
  endif()
  # One CUDA runtime in the process: the shared one that LibTorch loads.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  enable_language(CUDA)
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)  # CMake 3.25.1 sets a property of it, CUDA 13 has none
  find_package(CUDAToolkit 12.4 REQUIRED)
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")
endif()
