# What `cmake --install` and `cpack` put where. The man page and its options come from the command itself.
include(CMakePackageConfigHelpers)

install(TARGETS nnc)
install(TARGETS nnrt EXPORT nnc)
install(FILES runtime/nnrt.h TYPE INCLUDE)
install(DIRECTORY stdlib DESTINATION ${CMAKE_INSTALL_DATADIR}/nnc)

# find_package(nnc): nnc::nnc, nnc::nnrt, nnc_add_model()
set(NNC_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/nnc)
configure_package_config_file(packaging/nncConfig.cmake.in ${CMAKE_BINARY_DIR}/nncConfig.cmake
  INSTALL_DESTINATION ${NNC_CMAKE_DIR} PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/nncConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(EXPORT nnc NAMESPACE nnc:: FILE nncTargets.cmake DESTINATION ${NNC_CMAKE_DIR})
install(FILES ${CMAKE_BINARY_DIR}/nncConfig.cmake ${CMAKE_BINARY_DIR}/nncConfigVersion.cmake
  DESTINATION ${NNC_CMAKE_DIR})

# pkg-config nnrt; its paths are relative to its own place, so that the prefix may move.
file(RELATIVE_PATH NNC_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(packaging/nnrt.pc.in ${CMAKE_BINARY_DIR}/nnrt.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/nnrt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# man nnc, man nnrt, completion
if(NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT nnc.1 COMMAND ${CMAKE_SOURCE_DIR}/packaging/man.sh $<TARGET_FILE:nnc>
    > nnc.1 DEPENDS nnc packaging/man.sh VERBATIM)
  add_custom_target(man ALL DEPENDS nnc.1)
  install(FILES ${CMAKE_BINARY_DIR}/nnc.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
install(FILES packaging/nnrt.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
install(FILES packaging/nnc.bash RENAME nnc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES README.md TYPE DOC)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
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
