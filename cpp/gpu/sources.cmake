# The host side of the kernel, whatever the device. The devices themselves are binaries of their own.
target_include_directories(rtd_objects PUBLIC ${CMAKE_SOURCE_DIR}/cuda)
target_sources(rtd_objects PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/device_index.cpp ${CMAKE_CURRENT_SOURCE_DIR}/gpu/mirror.cpp)
