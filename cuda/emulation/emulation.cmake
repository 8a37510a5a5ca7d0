# The emulated device, and the back end "cuda-emulated"; whoever links it compiles the kernel as C++.
if(NOT TARGET rtd_emulation)
    set(emulation ${CMAKE_SOURCE_DIR}/cuda/emulation)
    add_library(rtd_emulation STATIC ${emulation}/device.cpp ${emulation}/emulated_device.cpp ${emulation}/fiber.cpp)
    target_link_libraries(rtd_emulation PUBLIC rtd_static)
    target_compile_options(rtd_emulation PUBLIC -Wno-unknown-pragmas)  # unroll
endif()
