# lcnn::cudnn: the cuDNN that LibTorch loads, else the system's. lcnn::cudnn_frontend: its header-only C++ interface,
# the only one that reaches every engine configuration of cuDNN's graph API.
get_filename_component(_torch_site ${LCNN_TORCH_DIR} DIRECTORY)
find_path(LCNN_CUDNN_INCLUDE_DIR cudnn.h
  HINTS ${_torch_site}/nvidia/cudnn/include ${CUDAToolkit_INCLUDE_DIRS} NO_DEFAULT_PATH)
find_path(LCNN_CUDNN_INCLUDE_DIR cudnn.h)
find_library(LCNN_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR
  HINTS ${_torch_site}/nvidia/cudnn/lib ${CUDAToolkit_LIBRARY_DIR} NO_DEFAULT_PATH)
find_library(LCNN_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9)
if(NOT LCNN_CUDNN_INCLUDE_DIR OR NOT LCNN_CUDNN_LIBRARY)
  message(FATAL_ERROR "cuDNN 9 was not found: install it beside CUDA, or PyPI's nvidia-cudnn-cu13 beside torch")
endif()
add_library(lcnn_cudnn INTERFACE)
add_library(lcnn::cudnn ALIAS lcnn_cudnn)
target_include_directories(lcnn_cudnn SYSTEM INTERFACE ${LCNN_CUDNN_INCLUDE_DIR})
target_link_libraries(lcnn_cudnn INTERFACE ${LCNN_CUDNN_LIBRARY} CUDA::cudart)
message(STATUS "cuDNN: ${LCNN_CUDNN_LIBRARY}")

file(GLOB _frontend_hints ${CMAKE_SOURCE_DIR}/.deps/cudnn_frontend/include
  ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/include)
find_path(LCNN_CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${_frontend_hints} ${_torch_site}/include)
if(NOT LCNN_CUDNN_FRONTEND_INCLUDE_DIR)
  message(FATAL_ERROR "cudnn_frontend.h was not found: run scripts/setup, or set LCNN_CUDNN_FRONTEND_INCLUDE_DIR "
                      "to the include/ folder of PyPI's nvidia-cudnn-frontend")
endif()
add_library(lcnn_cudnn_frontend INTERFACE)
add_library(lcnn::cudnn_frontend ALIAS lcnn_cudnn_frontend)
target_include_directories(lcnn_cudnn_frontend SYSTEM INTERFACE ${LCNN_CUDNN_FRONTEND_INCLUDE_DIR})
target_compile_definitions(lcnn_cudnn_frontend INTERFACE CUDNN_FRONTEND_SKIP_JSON_LIB)
# NVRTC by path: the CUDA::nvrtc target would add the driver's libcuda, which machines without a GPU do not have.
find_library(LCNN_NVRTC_LIBRARY nvrtc HINTS ${CUDAToolkit_LIBRARY_DIR} REQUIRED)
target_link_libraries(lcnn_cudnn_frontend INTERFACE lcnn::cudnn ${LCNN_NVRTC_LIBRARY} ${CMAKE_DL_LIBS})
