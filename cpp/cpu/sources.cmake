target_sources(rtd_objects PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/cpu/dispatch.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cpu/serial.cpp)

option(RTD_SIMD "build the back ends of the processor's instruction sets, not only the serial one" ON)

# One file per instruction set, compiled for it whatever the rest is compiled for; dispatch.cpp asks the processor before it calls one.
function(rtd_backend name flags)
    set(file ${CMAKE_CURRENT_SOURCE_DIR}/cpu/${name}.cpp)
    if(RTD_SIMD AND EXISTS ${file})
        target_sources(rtd_objects PRIVATE ${file})
        separate_arguments(flags)
        set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${flags}")
        string(TOUPPER ${name} upper)
        set_property(SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/cpu/dispatch.cpp APPEND PROPERTY COMPILE_DEFINITIONS RTD_HAVE_${upper})
    endif()
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    rtd_backend(avx2 "-mavx2 -mfma -mf16c")
    rtd_backend(avx512 "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512dq -mavx512vl")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    rtd_backend(neon "")
endif()
