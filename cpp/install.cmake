# `cmake --install`: the shared library, rtd.h and what find_package(rtd) reads. A user links rtd::rtd; nothing else is needed.
include(CMakePackageConfigHelpers)

install(TARGETS rtd EXPORT rtd-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET rtd_cuda)
    install(TARGETS rtd_cuda rtd_cuda_probe DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/cpp/rtd.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT rtd-targets FILE rtd-config.cmake NAMESPACE rtd:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rtd)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rtd-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rtd-config-version.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rtd)
