# What is installed of the runtime: library, header, CMake package, pkg-config file, man page.
include(CMakePackageConfigHelpers)

install(TARGETS nnrt EXPORT nnc)
install(FILES runtime/nnrt.h TYPE INCLUDE)
install(FILES packaging/nnrt.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

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
