# Run by cpack before a package is made of the folder that was installed to: what Debian packages have besides, or have
# elsewhere. CPACK_TEMPORARY_INSTALL_DIRECTORY holds a folder for each component.
cmake_minimum_required(VERSION 3.25)

# One moment for all that is written, so that the same sources give the same packages.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  set(moment $ENV{SOURCE_DATE_EPOCH})
else()
  string(TIMESTAMP moment "%s" UTC)
endif()
execute_process(COMMAND date -u -R -d @${moment} OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(folder ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component})
  set(doc ${folder}/usr/share/doc/${package})
  file(MAKE_DIRECTORY ${doc})
  file(COPY_FILE ${CPACK_NOSTRIL_SOURCE_DIR}/packaging/debian/copyright ${doc}/copyright)
  file(WRITE ${doc}/changelog.Debian "nostril (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Built from the repository, whose log says what has changed.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
  # Debian 12 has its units here; /lib is /usr/lib there, but not to dpkg.
  if(IS_DIRECTORY ${folder}/usr/lib/systemd)
    file(MAKE_DIRECTORY ${folder}/lib)
    file(RENAME ${folder}/usr/lib/systemd ${folder}/lib/systemd)
  endif()
  file(GLOB packed ${doc}/changelog.Debian ${folder}/usr/share/man/man1/*.1)
  if(packed)
    execute_process(COMMAND gzip -9n ${packed} COMMAND_ERROR_IS_FATAL ANY)
  endif()
  file(GLOB archives ${folder}/usr/lib/*.a)
  if(archives)
    execute_process(COMMAND strip --strip-debug --enable-deterministic-archives ${archives} COMMAND_ERROR_IS_FATAL ANY)
  endif()
  # umask of whoever builds is no part of a package.
  execute_process(COMMAND chmod -R u=rwX,go=rX ${folder} COMMAND_ERROR_IS_FATAL ANY)
  # Nothing in it is younger than its sources.
  execute_process(COMMAND find ${folder} -newermt @${moment} -exec touch -h -d @${moment} {} + COMMAND_ERROR_IS_FATAL ANY)
endforeach()
