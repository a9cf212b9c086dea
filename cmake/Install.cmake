# cmake --install BUILD --prefix /usr: programs, the node's unit, default configurations, its operator's pages.
include(InstallLibrary)
install(TARGETS nostril-node nostril-relay nostril RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(FILES packaging/nostril-node.service DESTINATION lib/systemd/system COMPONENT service)
install(FILES README.md docs/client.md docs/library.md docs/node.md docs/evidence.md docs/https.md docs/money.md docs/verify.md docs/web.md
  docs/limits.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT doc)
# So are completions and manual pages.
install(CODE "
  set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
  set(manual \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\")
  file(MAKE_DIRECTORY \"\${manual}\" \"\${share}/bash-completion/completions\" \"\${share}/zsh/site-functions\"
    \"\${share}/fish/vendor_completions.d\")
  foreach(program nostril nostril-node nostril-relay)
    set(run \"${CMAKE_BINARY_DIR}/bin/\${program}\")
    execute_process(COMMAND \${run} man OUTPUT_FILE \${manual}/\${program}.1 COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \${run} completion bash
      OUTPUT_FILE \${share}/bash-completion/completions/\${program} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \${run} completion zsh
      OUTPUT_FILE \${share}/zsh/site-functions/_\${program} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \${run} completion fish
      OUTPUT_FILE \${share}/fish/vendor_completions.d/\${program}.fish COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  message(STATUS \"Installing: completions and manual pages below \${share}\")" COMPONENT doc)
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
