# What `cmake --install` and `cpack` put where. The man page and its options come from the command itself.
include(packaging/runtime.cmake)

install(TARGETS nnc)
install(DIRECTORY stdlib DESTINATION ${CMAKE_INSTALL_DATADIR}/nnc)

# man nnc, completion
if(NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT nnc.1 COMMAND ${CMAKE_SOURCE_DIR}/packaging/man.sh $<TARGET_FILE:nnc>
    > nnc.1 DEPENDS nnc packaging/man.sh VERBATIM)
  add_custom_target(man ALL DEPENDS nnc.1)
  install(FILES ${CMAKE_BINARY_DIR}/nnc.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES packaging/nnc.bash RENAME nnc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES README.md TYPE DOC)
install(DIRECTORY docs TYPE DOC)
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME nnc)
set(CPACK_PACKAGE_CONTACT "nnc's developers <nnc@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compiler for neural networks, and its run-time library")
set(CPACK_PACKAGE_DESCRIPTION "nnc compiles small model files to machine code that trains and infers. \
It trains by itself, or writes a C library of a model, which needs libnnrt alone.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
