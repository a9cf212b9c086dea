# Debian packages: ./scripts/package, which is cpack -G DEB in a build folder. One component, one package; each can be
# installed without the others. Files that only a package has (changelog, copyright, packed pages) and what Debian
# wants otherwise than `cmake --install` does: PackageFinish.cmake.
set(CPACK_PACKAGE_NAME nostril)
set(CPACK_PACKAGE_VENDOR Nostril)
set(NOSTRIL_MAINTAINER "Nostril maintainers <maintainers@nostril.invalid>" CACHE STRING "Maintainer: of the Debian packages")
# Below Debian's own first one, should there be one.
set(NOSTRIL_DEBIAN_RELEASE 0nostril1 CACHE STRING "What follows the version in the Debian packages' own")
set(CPACK_PACKAGE_CONTACT "${NOSTRIL_MAINTAINER}")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENTS_ALL relay node client library development)
# Into DESTDIR with prefix /usr, so that /etc is the package's and not the build machine's.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/PackageFinish.cmake)
set(CPACK_NOSTRIL_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
  WORLD_READ WORLD_EXECUTE)
# scripts/package builds what it packs; cpack itself would build every test.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${NOSTRIL_DEBIAN_RELEASE})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# nostril_package(COMPONENT PACKAGE [DEPENDS …] [RECOMMENDS …] [SECTION …] [CONTROL files…] DESCRIPTION title lines…)
function(nostril_package component package)
  cmake_parse_arguments(arg "" "SECTION;RECOMMENDS" "DEPENDS;DESCRIPTION;CONTROL" ${ARGN})
  string(TOUPPER ${component} upper)
  list(POP_FRONT arg_DESCRIPTION title)
  list(JOIN arg_DESCRIPTION "\n" text)
  list(JOIN arg_DEPENDS ", " depends)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${title}\n${text}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${depends}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${arg_CONTROL}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_RECOMMENDS "${arg_RECOMMENDS}" PARENT_SCOPE)
  if(arg_SECTION)
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${arg_SECTION} PARENT_SCOPE)
  endif()
endfunction()

# nostril_maintainer_scripts(PACKAGE CONFIGURATION VAR): of a package with a unit and a configuration file. The variables
# that packaging/debian/*.in name are set before.
function(nostril_maintainer_scripts PACKAGE configuration out)
  set(UNIT ${PACKAGE}.service)
  set(STATE /var/lib/${PACKAGE})
  set(folder ${CMAKE_BINARY_DIR}/debian/${PACKAGE})
  set(files "")
  foreach(script postinst prerm postrm)
    configure_file(packaging/debian/${script}.in ${folder}/${script} @ONLY)
    list(APPEND files ${folder}/${script})
  endforeach()
  file(CHMOD ${files} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  file(WRITE ${folder}/conffiles "/etc/nostril/${configuration}.toml\n")
  set(${out} ${files} ${folder}/conffiles PARENT_SCOPE)
endfunction()

# libwebsockets loads its event loop's plugin by name, where dpkg-shlibdeps does not see it.
set(runtime libwebsockets-evlib-uv)

# The relay is enabled and started: its defaults listen on this machine only.
set(AFTER_UNPACKING [[systemd-sysusers ${DPKG_ROOT:+--root="$DPKG_ROOT"} nostril-relay.conf
if [ ! -e "${DPKG_ROOT:-}/var/lib/nostril-relay" ]; then
  install -d -m 0750 "${DPKG_ROOT:-}/var/lib/nostril-relay"
  if [ -z "${DPKG_ROOT:-}" ]; then chown nostril-relay:nostril-relay /var/lib/nostril-relay; fi
fi
]])
set(ENABLE_UNIT [[if deb-systemd-helper --quiet was-enabled nostril-relay.service; then
  deb-systemd-helper enable nostril-relay.service > /dev/null || true
else
  deb-systemd-helper update-state nostril-relay.service > /dev/null || true
fi]])
set(START_UNIT [[if [ -n "$2" ]; then action=restart; else action=start; fi
  deb-systemd-invoke "$action" nostril-relay.service > /dev/null || true]])
nostril_maintainer_scripts(nostril-relay relay control)
# Certificates of the relays that it calls itself.
nostril_package(relay nostril-relay CONTROL ${control} RECOMMENDS ca-certificates
  DEPENDS ${runtime} "systemd | systemd-standalone-sysusers | systemd-sysusers"
  DESCRIPTION "Nostr relay on LMDB"
  "A relay for Nostr events that needs nothing beside itself: no database"
  "server, no proxy. Events are checked before they are stored, and durable"
  "before they are acknowledged."
  "."
  "It comes as a service with a user of its own. Every setting is explained in"
  "/etc/nostril/relay.toml.")

# A node is of no use before it was configured: its unit waits for `systemctl enable`.
set(AFTER_UNPACKING "")
set(ENABLE_UNIT [[deb-systemd-helper update-state nostril-node.service > /dev/null || true]])
set(START_UNIT [[if [ -n "$2" ]; then systemctl --system try-restart nostril-node.service > /dev/null || true; fi]])
nostril_maintainer_scripts(nostril-node node control)
nostril_package(node nostril-node CONTROL ${control}
  DEPENDS ${runtime} ca-certificates
  DESCRIPTION "serve an inference engine, attested and sealed, over Nostr"
  "The agent beside an inference engine, inside a confidential virtual"
  "machine: it offers the engine's models through Nostr relays, proves by the"
  "machine's evidence what runs there, and answers sealed queries.")

nostril_package(client nostril
  DEPENDS ${runtime} ca-certificates
  DESCRIPTION "ask attested inference nodes over Nostr"
  "Finds nodes, judges their evidence before anything is sent to them, asks"
  "sealed questions and keeps what proves the answers. Its gateway serves"
  "existing applications of this machine.")

file(WRITE ${CMAKE_BINARY_DIR}/debian/libnostril1/triggers "activate-noawait ldconfig\n")
nostril_package(library libnostril1 SECTION libs CONTROL ${CMAKE_BINARY_DIR}/debian/libnostril1/triggers
  DEPENDS ${runtime} ca-certificates
  DESCRIPTION "ask attested inference nodes over Nostr (C library)"
  "The C interface of the client: verified, sealed queries to inference nodes"
  "over Nostr relays.")

nostril_package(development libnostril-dev SECTION libdevel
  DEPENDS "libnostril1 (= ${PROJECT_VERSION}-${NOSTRIL_DEBIAN_RELEASE})" ${runtime} libwebsockets-dev libuv1-dev libssl-dev
    libsecp256k1-dev libsimdjson-dev liblmdb-dev libzstd-dev zlib1g-dev libcurl4-openssl-dev libutf8proc-dev
    libexpected-dev libfmt-dev libspdlog-dev libcli11-dev libtomlplusplus-dev
  DESCRIPTION "ask attested inference nodes over Nostr (headers, static libraries)"
  "Headers of the C and C++ interfaces, static libraries, and what CMake and"
  "pkg-config need to find them.")

include(CPack)
