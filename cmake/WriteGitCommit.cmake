# Run at every build: cmake -DSOURCE=<source> -DOUTPUT=<header> -P WriteGitCommit.cmake. LCNN_GIT_COMMIT ("<commit>" or
# "<commit>-dirty") says which commit a copy of the files is; else git does; else it is unknown.
if(DEFINED ENV{LCNN_GIT_COMMIT})
  string(REGEX MATCH "dirty" changes "$ENV{LCNN_GIT_COMMIT}")
  string(REPLACE "-dirty" "" commit "$ENV{LCNN_GIT_COMMIT}")
else()
  execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                  ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(commit unknown)
  else()
    execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes)
  endif()
endif()
if(changes)
  set(dirty true)
else()
  set(dirty false)
endif()
set(text "// The commit of this build; written at every build.
#pragma once
namespace lcnn::bench::build_info {
inline constexpr const char* kGitCommit = \"${commit}\";
inline constexpr bool kGitDirty = ${dirty};
}  // namespace lcnn::bench::build_info
")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
