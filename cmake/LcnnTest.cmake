# lcnn_add_test(NAME SOURCES... LIBRARIES... [MAIN source] [ONE_PROCESS]): one GoogleTest program.
# MAIN is the source of its main where GoogleTest's own will not do (variants/test_main.cpp for what loads LibTorch).
# Its cases are known to CTest one by one; discovery happens when tests run, so that building needs no run of the
# program. ONE_PROCESS: CTest knows it as one test, for programs whose start takes longer than their cases.
function(lcnn_add_test name)
  cmake_parse_arguments(ARG "ONE_PROCESS" "MAIN" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${ARG_MAIN})
  target_link_libraries(${name} PRIVATE lcnn_options ${ARG_LIBRARIES} GTest::gmock)
  if(ARG_MAIN)
    target_link_libraries(${name} PRIVATE GTest::gtest)
  else()
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
  endif()
  if(ARG_ONE_PROCESS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 ENVIRONMENT LCNN_CACHE_DIR=${CMAKE_BINARY_DIR}/test_cache)
  else()
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 600 ENVIRONMENT LCNN_CACHE_DIR=${CMAKE_BINARY_DIR}/test_cache)
  endif()
endfunction()
