# Installs the development part of BUILD into FOLDER/prefix as a distributor would, looks at what came, and builds
# examples/ against it in FOLDER/examples. Needs ROOT, BUILD, FOLDER, GENERATOR, CXX, NM, FLAGS, LINK_FLAGS.
cmake_minimum_required(VERSION 3.25)
set(prefix ${FOLDER}/prefix)
file(REMOVE_RECURSE ${prefix})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    list(JOIN ARGV " " shown)
    message(FATAL_ERROR "${shown}: ${status}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

foreach(component development library)
  run(${CMAKE_COMMAND} --install ${BUILD} --component ${component} --prefix ${prefix})
endforeach()

# Nothing of what was installed remembers where it was built. (Debug information may.)
file(GLOB_RECURSE texts ${prefix}/*.cmake ${prefix}/*.pc ${prefix}/*.h)
foreach(file IN LISTS texts)
  file(READ ${file} text)
  foreach(folder ${BUILD}/ ${ROOT}/base ${ROOT}/client)
    string(FIND "${text}" "${folder}" at)
    if(NOT at EQUAL -1 AND NOT file MATCHES "\\.pc$")
      message(SEND_ERROR "${file} names ${folder}")
    endif()
  endforeach()
endforeach()

# The shared library shows what nostril.h declares and nothing else.
file(READ ${prefix}/include/nostril.h header)
string(REGEX MATCHALL "NOSTRIL_API [^;(]*nostril_[a-z_]+\\(" lines "${header}")
list(TRANSFORM lines REPLACE "^.*(nostril_[a-z_]+)\\($" "\\1" OUTPUT_VARIABLE declared)
list(SORT declared)
file(GLOB shared ${prefix}/lib/libnostril.so.*.* ${prefix}/lib/*/libnostril.so.*.*)
run(${NM} -D --defined-only ${shared})
string(REGEX MATCHALL "[0-9a-f]+ [A-Za-z] [^\n]+" symbols "${out}")
list(FILTER symbols EXCLUDE REGEX " A NOSTRIL_1")
list(TRANSFORM symbols REPLACE "^[0-9a-f]+ [A-Za-z] ([^@]+)(@@NOSTRIL_1)?$" "\\1" OUTPUT_VARIABLE shown)
list(SORT shown)
if(NOT shown STREQUAL declared)
  message(SEND_ERROR "libnostril.so shows\n  ${shown}\nand nostril.h declares\n  ${declared}")
endif()

# Every header compiles, with its own warnings on, and finds what it includes.
file(GLOB_RECURSE headers RELATIVE ${prefix}/include ${prefix}/include/*.h)
list(TRANSFORM headers REPLACE "^(.+)$" "#include <\\1>" OUTPUT_VARIABLE lines)
list(JOIN lines "\n" text)
file(WRITE ${FOLDER}/all_headers.cpp "${text}\n")
run(${CXX} -std=c++20 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I ${prefix}/include ${FOLDER}/all_headers.cpp)

# Programs that find the package, as an application's build does.
run(${CMAKE_COMMAND} -S ${ROOT}/examples -B ${FOLDER}/examples -G ${GENERATOR} --fresh -DCMAKE_PREFIX_PATH=${prefix}
  -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_C_FLAGS=${FLAGS}" "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DCMAKE_EXE_LINKER_FLAGS=${LINK_FLAGS}")
run(${CMAKE_COMMAND} --build ${FOLDER}/examples)
