# The host side of the kernel, whatever the device, and the way to the CUDA binary (cuda.cmake), which is one of its own.
target_include_directories(rtd_objects PUBLIC ${CMAKE_SOURCE_DIR}/cuda)
target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/cascade_mirror.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/cuda_backend.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/device_index.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/device_plan.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/launcher.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/mirror.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/module_device.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/plan_abi.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/gpu/probe.cpp)
target_link_libraries(rtd_objects PUBLIC ${CMAKE_DL_LIBS})
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/gpu/cuda_backend.cpp PROPERTIES COMPILE_DEFINITIONS
    "RTD_CUDA_MODULE=\"${CMAKE_SHARED_MODULE_PREFIX}rtd_cuda${CMAKE_SHARED_MODULE_SUFFIX}\";RTD_CUDA_PROBE=\"rtd-cuda-probe${CMAKE_EXECUTABLE_SUFFIX}\"")

# What a binary with a device in it links: the table, and the errors it catches. It shows no other symbol.
add_library(rtd_module OBJECT EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/gpu/module.cpp ${CMAKE_CURRENT_SOURCE_DIR}/core/status.cpp)
target_include_directories(rtd_module PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/cuda)
target_link_libraries(rtd_module PUBLIC rtd_options)
target_link_options(rtd_module INTERFACE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/gpu/module.map)
