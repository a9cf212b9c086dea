# Compiler settings for the project's own targets, carried by one interface target: nostril_options.
option(NOSTRIL_WERROR "Treat warnings as errors" OFF)
option(NOSTRIL_LTO "Link-time optimisation" OFF)
option(NOSTRIL_COVERAGE "gcov instrumentation" OFF)
option(NOSTRIL_FUZZ "Build libFuzzer targets (clang only)" OFF)
option(NOSTRIL_CLANG_TIDY "Run clang-tidy while compiling" OFF)
# 2 costs half as much compile time again, and twice the disk.
set(NOSTRIL_DEBUG_INFO 1 CACHE STRING "-g level: 1 has functions and lines for backtraces, 2 variables for a debugger too")
set(NOSTRIL_SANITIZE "" CACHE STRING "Comma-separated -fsanitize= list, e.g. address,undefined or thread")

add_library(nostril_options INTERFACE)
target_compile_features(nostril_options INTERFACE cxx_std_20)
set(CMAKE_CXX_EXTENSIONS OFF)
target_include_directories(nostril_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(nostril_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wold-style-cast -Wcast-align -Wformat=2 -Wimplicit-fallthrough -Wundef -Wvla
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wsuggest-override>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wthread-safety-beta -Wdocumentation -Wunreachable-code>
  $<$<BOOL:${NOSTRIL_WERROR}>:-Werror>
  -fno-omit-frame-pointer $<$<CONFIG:Debug,RelWithDebInfo>:-g${NOSTRIL_DEBUG_INFO}>)
# Bounds checks of the standard library stay on everywhere but in benchmarked builds' hot loops; they cost little.
target_compile_definitions(nostril_options INTERFACE _GLIBCXX_ASSERTIONS)
target_compile_options(nostril_options INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>
  -fstack-protector-strong $<$<CXX_COMPILER_ID:GNU>:-fstack-clash-protection -fcf-protection>)
target_link_options(nostril_options INTERFACE -Wl,-z,relro,-z,now)

# Release builds are the same bytes wherever the folder lies (scripts/reproducible).
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(maps -ffile-prefix-map=${PROJECT_BINARY_DIR}=build -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
  target_compile_options(nostril_options INTERFACE ${maps})
  # Link-time optimisation compiles once more, at the link: it must not know the folder either.
  target_link_options(nostril_options INTERFACE ${maps} $<$<CXX_COMPILER_ID:GNU>:-frandom-seed=nostril> -Wl,--build-id=sha1)
endif()

if(NOSTRIL_SANITIZE)
  target_compile_options(nostril_options INTERFACE -fsanitize=${NOSTRIL_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(nostril_options INTERFACE -fsanitize=${NOSTRIL_SANITIZE})
  if(NOSTRIL_SANITIZE MATCHES address AND NOSTRIL_SANITIZE MATCHES undefined AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # Beside a shared libasan, a shared libubsan asks that one to write its reports to a file, and then finds none itself.
    target_link_options(nostril_options INTERFACE -static-libubsan)
  endif()
  # What stands before each test's command.
  set(CMAKE_CROSSCOMPILING_EMULATOR ${PROJECT_SOURCE_DIR}/tests/support/sanitized ${CMAKE_BINARY_DIR}/sanitizer)
endif()
if(NOSTRIL_COVERAGE)
  target_compile_options(nostril_options INTERFACE --coverage -fprofile-abs-path)
  target_link_options(nostril_options INTERFACE --coverage)
endif()
if(NOSTRIL_LTO)
  include(CheckIPOSupported)
  check_ipo_supported()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
if(NOSTRIL_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "NOSTRIL_FUZZ needs clang: use the preset 'fuzz'")
  endif()
  target_compile_options(nostril_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(NOSTRIL_CLANG_TIDY)
  find_program(NOSTRIL_CLANG_TIDY_EXE NAMES clang-tidy-14 clang-tidy REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY ${NOSTRIL_CLANG_TIDY_EXE} --quiet)
endif()
