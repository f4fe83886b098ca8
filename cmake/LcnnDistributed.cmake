# lcnn_distributed: LibTorch's c10d, by which several processes train one network. Gloo (CPUs) is in libtorch_cpu, NCCL (GPUs) in
# libtorch_cuda; their own headers, which c10d's include, come from elsewhere.
add_library(lcnn_distributed INTERFACE)
target_link_libraries(lcnn_distributed INTERFACE lcnn::torch)

# Debian's are older than LibTorch's Gloo: c10d's classes only hold pointers to what they declare, and nothing of it is called.
find_path(LCNN_GLOO_INCLUDE_DIR gloo/rendezvous/store.h)
set(LCNN_HAS_GLOO OFF)
if(LCNN_GLOO_INCLUDE_DIR AND EXISTS ${LCNN_TORCH_DIR}/include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp)
  set(LCNN_HAS_GLOO ON)
  target_include_directories(lcnn_distributed SYSTEM INTERFACE ${LCNN_GLOO_INCLUDE_DIR})
  target_compile_definitions(lcnn_distributed INTERFACE USE_C10D_GLOO)
  message(STATUS "lcnn_train: several processes by Gloo on CPUs")
else()
  message(STATUS "lcnn_train: one process only on CPUs: Gloo's headers were not found (libgloo-dev)")
endif()

set(LCNN_HAS_NCCL OFF)
if(LCNN_HAS_CUDA)
  get_filename_component(_torch_site ${LCNN_TORCH_DIR} DIRECTORY)
  find_path(LCNN_NCCL_INCLUDE_DIR nccl.h
    HINTS ${_torch_site}/nvidia/nccl/include ${_torch_site}/nvidia/cu13/include ${CUDAToolkit_INCLUDE_DIRS} NO_DEFAULT_PATH)
  find_path(LCNN_NCCL_INCLUDE_DIR nccl.h)
  if(LCNN_NCCL_INCLUDE_DIR AND EXISTS ${LCNN_TORCH_DIR}/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp)
    set(LCNN_HAS_NCCL ON)
    target_include_directories(lcnn_distributed SYSTEM INTERFACE ${LCNN_NCCL_INCLUDE_DIR})
    target_compile_definitions(lcnn_distributed INTERFACE USE_C10D_NCCL)
    message(STATUS "lcnn_train: several processes by NCCL on GPUs (${LCNN_NCCL_INCLUDE_DIR})")
  else()
    message(STATUS "lcnn_train: one process only on GPUs: NCCL's header was not found (nvidia-nccl-cu13)")
  endif()
endif()
