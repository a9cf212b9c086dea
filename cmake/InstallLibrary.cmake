# What applications link (docs/library.md): cmake --install BUILD --component development --prefix DIR, and the shared
# library alone as component library. Not part of an installation without a component, which is an operator's.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/nostril)

# These are the C++ interface. What they include comes along and is none.
set(NOSTRIL_PUBLIC_HEADERS
  base/clock.h
  base/hex.h
  base/rng.h
  schnorr/hash.h
  schnorr/keys.h
  events/event.h
  events/filter.h
  events/inference.h
  events/kinds.h
  events/nip19.h
  attestation/pack.h
  attestation/vendor_documents.h
  attestation/verify.h
  client/chat.h
  client/client.h
  client/saved_answer.h)
list(JOIN NOSTRIL_PUBLIC_HEADERS "|" entries)
install(CODE "
  execute_process(COMMAND \"${CMAKE_COMMAND}\" -DROOT=${PROJECT_SOURCE_DIR} \"-DENTRIES=${entries}\"
    \"-DFOLDER=\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}\"
    -P \"${PROJECT_SOURCE_DIR}/cmake/InstallHeaders.cmake\" COMMAND_ERROR_IS_FATAL ANY)" COMPONENT development EXCLUDE_FROM_ALL)

# Static libraries, in the order of the layers.
foreach(layer IN LISTS NOSTRIL_REACH_client)
  set_target_properties(nostril_${layer} PROPERTIES EXPORT_NAME ${layer})
  target_compile_features(nostril_${layer} PUBLIC cxx_std_20)
  target_include_directories(nostril_${layer} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # A link-time optimised build's archives hold machine code too: who links them may have another compiler.
  if(NOSTRIL_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(nostril_${layer} PRIVATE -ffat-lto-objects)
  endif()
  install(TARGETS nostril_${layer} EXPORT nostril-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    EXCLUDE_FROM_ALL)
endforeach()
install(EXPORT nostril-static NAMESPACE nostril:: DESTINATION ${package_folder} COMPONENT development EXCLUDE_FROM_ALL)

# The C interface.
set_target_properties(nostril_c PROPERTIES EXPORT_NAME c)
target_include_directories(nostril_c INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS nostril_c EXPORT nostril-c LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
  NAMELINK_COMPONENT development EXCLUDE_FROM_ALL)
install(EXPORT nostril-c NAMESPACE nostril:: DESTINATION ${package_folder} COMPONENT development EXCLUDE_FROM_ALL)
install(FILES client/c/nostril.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development EXCLUDE_FROM_ALL)

configure_package_config_file(packaging/nostril-config.cmake.in ${CMAKE_BINARY_DIR}/nostril-config.cmake
  INSTALL_DESTINATION ${package_folder})
# Before 1.0 the C++ interface may change with each minor version; the C one has versions of its own.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/nostril-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/nostril-config.cmake ${CMAKE_BINARY_DIR}/nostril-config-version.cmake
  DESTINATION ${package_folder} COMPONENT development EXCLUDE_FROM_ALL)
# Of the prefix that is installed to, which only the installation knows.
install(CODE "
  set(PROJECT_VERSION ${PROJECT_VERSION})
  set(CMAKE_INSTALL_LIBDIR ${CMAKE_INSTALL_LIBDIR})
  set(CMAKE_INSTALL_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
  configure_file(\"${PROJECT_SOURCE_DIR}/packaging/nostril.pc.in\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig/nostril.pc\" @ONLY)" COMPONENT development EXCLUDE_FROM_ALL)
