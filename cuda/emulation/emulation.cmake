# The emulated device; whoever links it compiles the kernel as C++.
if(NOT TARGET rtd_emulation)
    add_library(rtd_emulation STATIC ${CMAKE_SOURCE_DIR}/cuda/emulation/device.cpp ${CMAKE_SOURCE_DIR}/cuda/emulation/fiber.cpp)
    target_include_directories(rtd_emulation PUBLIC ${CMAKE_SOURCE_DIR}/cuda ${CMAKE_SOURCE_DIR}/cpp)
    target_link_libraries(rtd_emulation PUBLIC rtd_options)
    target_compile_options(rtd_emulation PUBLIC -Wno-unknown-pragmas)  # unroll
endif()
