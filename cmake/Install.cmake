# cmake --install BUILD --prefix /usr: programs, the node's unit, default configurations, its operator's pages.
include(GNUInstallDirs)
install(TARGETS nostril-node nostril-relay nostril RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(FILES packaging/nostril-node.service DESTINATION lib/systemd/system COMPONENT service)
install(FILES README.md docs/node.md docs/evidence.md docs/verify.md docs/limits.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT doc)
# What the program prints is its default configuration: never a second copy of it. A file that is there is its
# operator's.
install(CODE "
  foreach(one node:nostril-node relay:nostril-relay)
    string(REPLACE \":\" \";\" pair \${one})
    list(GET pair 0 name)
    list(GET pair 1 program)
    set(file \"\$ENV{DESTDIR}/etc/nostril/\${name}.toml\")
    if(NOT EXISTS \${file})
      file(MAKE_DIRECTORY \"\$ENV{DESTDIR}/etc/nostril\")
      execute_process(COMMAND \"${CMAKE_BINARY_DIR}/bin/\${program}\" --print-config OUTPUT_FILE \${file} COMMAND_ERROR_IS_FATAL ANY)
      message(STATUS \"Installing: \${file}\")
    endif()
  endforeach()" COMPONENT configuration)
