# Faster rebuilds where the tools are there; nothing depends on them. Another checkout of the same sources
# finds the objects again: to ccache the folder's name is no part of them.
find_program(NOSTRIL_CCACHE ccache)
if(NOSTRIL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${NOSTRIL_CCACHE})
endif()
find_program(NOSTRIL_MOLD mold)
if(NOSTRIL_MOLD AND NOT NOSTRIL_LTO)
  target_link_options(nostril_options INTERFACE -fuse-ld=mold)
endif()
