# Defines lcnn::torch from LCNN_TORCH_DIR, the folder that holds LibTorch's include/ and lib/.
#
# Its own TorchConfig.cmake is not used: it insists on a CUDA toolkit, overrides architecture flags and links every
# library it knows. We need its headers and four libraries.
set(LCNN_TORCH_DIR "" CACHE PATH "LibTorch: the folder that holds include/ and lib/ (scripts/setup finds it)")
if(NOT LCNN_TORCH_DIR)
  file(GLOB _venv_torch ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  if(_venv_torch)
    list(GET _venv_torch 0 LCNN_TORCH_DIR)
  else()
    execute_process(COMMAND python3 -c "import torch, os; print(os.path.dirname(torch.__file__), end='')"
                    OUTPUT_VARIABLE LCNN_TORCH_DIR ERROR_QUIET)
  endif()
  set(LCNN_TORCH_DIR "${LCNN_TORCH_DIR}" CACHE PATH "" FORCE)
endif()
if(NOT EXISTS ${LCNN_TORCH_DIR}/include/ATen/ATen.h)
  message(FATAL_ERROR "no LibTorch at LCNN_TORCH_DIR='${LCNN_TORCH_DIR}': run scripts/setup, or set it to the "
                      "folder that holds LibTorch's include/ and lib/")
endif()

# A CUDA build of LibTorch needs CUDA's libraries to link and run; without them only its CPU half is used.
set(_torch_libraries c10 torch_cpu)
if(LCNN_HAS_CUDA)
  if(NOT EXISTS ${LCNN_TORCH_DIR}/lib/libtorch_cuda.so)
    message(FATAL_ERROR "LibTorch at ${LCNN_TORCH_DIR} was built without CUDA: set LCNN_CUDA=OFF or use another one")
  endif()
  list(APPEND _torch_libraries c10_cuda torch_cuda)
endif()

add_library(lcnn_torch INTERFACE)
add_library(lcnn::torch ALIAS lcnn_torch)
target_include_directories(lcnn_torch SYSTEM INTERFACE
  ${LCNN_TORCH_DIR}/include ${LCNN_TORCH_DIR}/include/torch/csrc/api/include)
# --no-as-needed: torch_cuda registers its operators when it is loaded, nothing refers to it by name.
target_link_options(lcnn_torch INTERFACE "LINKER:--no-as-needed" "LINKER:--allow-shlib-undefined"
  "LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/program_symbols.map")
foreach(_library ${_torch_libraries})
  target_link_libraries(lcnn_torch INTERFACE ${LCNN_TORCH_DIR}/lib/lib${_library}.so)
endforeach()

file(STRINGS ${LCNN_TORCH_DIR}/include/torch/headeronly/version.h _version_lines REGEX "TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX MATCHALL "[0-9]+" _version_numbers "${_version_lines}")
list(JOIN _version_numbers "." LCNN_TORCH_VERSION)
message(STATUS "LibTorch: ${LCNN_TORCH_VERSION} at ${LCNN_TORCH_DIR}")
