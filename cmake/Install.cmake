# cmake --install BUILD --prefix /usr: the programs with their manual pages, completions, units, default configurations
# and their operators' pages. A component is a program (relay, node, client), and a Debian package (Package.cmake).
include(InstallLibrary)

# nostril_install_program(nostril-relay COMPONENT relay [CONFIGURATION relay [ARGUMENTS …]] [DOCS …]). DESTDIR and prefix
# are known at the installation only.
function(nostril_install_program program)
  cmake_parse_arguments(arg "" "COMPONENT;CONFIGURATION" "ARGUMENTS;DOCS" ${ARGN})
  install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${arg_COMPONENT})
  install(FILES ${arg_DOCS} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${program} COMPONENT ${arg_COMPONENT})
  set(run "${CMAKE_BINARY_DIR}/bin/${program}")
  install(CODE "
    set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")
    set(manual \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\")
    set(bash \"\${share}/bash-completion/completions\")
    set(zsh \"\${share}/zsh/site-functions\")
    if(\"\${CMAKE_INSTALL_PREFIX}\" STREQUAL \"/usr\")
      set(zsh \"\${share}/zsh/vendor-completions\")  # where Debian's zsh looks
    endif()
    set(fish \"\${share}/fish/vendor_completions.d\")
    file(MAKE_DIRECTORY \"\${manual}\" \"\${bash}\" \"\${zsh}\" \"\${fish}\")
    execute_process(COMMAND \"${run}\" man OUTPUT_FILE \"\${manual}/${program}.1\" COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"${run}\" completion bash OUTPUT_FILE \"\${bash}/${program}\" COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"${run}\" completion zsh OUTPUT_FILE \"\${zsh}/_${program}\" COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"${run}\" completion fish OUTPUT_FILE \"\${fish}/${program}.fish\" COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: manual page and completions of ${program} below \${share}\")" COMPONENT ${arg_COMPONENT})
  if(NOT arg_CONFIGURATION)
    return()
  endif()
  install(FILES packaging/${program}.service DESTINATION lib/systemd/system COMPONENT ${arg_COMPONENT})
  # What the program prints is its default configuration: never a second copy of it. A file that is there is its
  # operator's.
  list(JOIN arg_ARGUMENTS " " arguments)  # none has spaces
  install(CODE "
    set(file \"\$ENV{DESTDIR}/etc/nostril/${arg_CONFIGURATION}.toml\")
    if(NOT EXISTS \"\${file}\")
      file(MAKE_DIRECTORY \"\$ENV{DESTDIR}/etc/nostril\")
      execute_process(COMMAND \"${run}\" --print-config ${arguments} OUTPUT_FILE \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)
      message(STATUS \"Installing: \${file}\")
    endif()" COMPONENT ${arg_COMPONENT})
endfunction()

nostril_install_program(nostril-relay COMPONENT relay CONFIGURATION relay ARGUMENTS --data /var/lib/nostril-relay
  DOCS docs/operators.md docs/admin.md docs/protection.md docs/plugins.md docs/sync.md docs/limits.md)
install(FILES packaging/nostril-relay.sysusers DESTINATION lib/sysusers.d RENAME nostril-relay.conf COMPONENT relay)
nostril_install_program(nostril-node COMPONENT node CONFIGURATION node
  DOCS docs/node.md docs/evidence.md docs/https.md docs/money.md docs/limits.md)
nostril_install_program(nostril COMPONENT client
  DOCS README.md docs/client.md docs/library.md docs/gateway.md docs/verify.md docs/web.md)
