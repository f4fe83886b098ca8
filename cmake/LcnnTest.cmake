# lcnn_add_test(NAME SOURCES... LIBRARIES...): one GoogleTest program, its cases known to CTest.
# Discovery happens when tests run, so that building needs no run of the program.
function(lcnn_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE lcnn_options ${ARG_LIBRARIES} GTest::gtest_main GTest::gmock)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()
