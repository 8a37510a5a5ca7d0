# Every back end against the serial one. That of AVX-512 is there twice on x86-64: as it is, for processors that have it, and on SIMDe's
# portable intrinsics (Debian: libsimde-dev), so that no machine leaves it out. Not under sanitizers, where SIMDe takes a compiler many minutes.
add_executable(test_cpu
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/add_products_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/backends.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/code_sums_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/guard_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/lse_piece_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cpu/tile_sums_test.cpp)
target_link_libraries(test_cpu PRIVATE rtd_harness)
add_test(NAME cpu COMMAND test_cpu)

if(RTD_SIMD AND NOT RTD_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    find_path(RTD_SIMDE_INCLUDE simde/x86/avx512.h DOC "where SIMDe's headers are")
    if(RTD_SIMDE_INCLUDE)
        add_library(simde_avx512 OBJECT ${PROJECT_SOURCE_DIR}/cpp/cpu/avx512.cpp ${PROJECT_SOURCE_DIR}/cpp/cpu/avx512_vnni.cpp)
        target_include_directories(simde_avx512 PRIVATE ${PROJECT_SOURCE_DIR}/cpp ${CMAKE_CURRENT_SOURCE_DIR}/cpu)
        target_include_directories(simde_avx512 SYSTEM PRIVATE ${RTD_SIMDE_INCLUDE})
        target_compile_definitions(simde_avx512 PRIVATE RTD_SIMDE avx512Backend=simdeAvx512Backend avx512VnniCodes=simdeAvx512VnniCodes)
        target_compile_options(simde_avx512 PRIVATE -mavx2 -mfma -mf16c -Wno-psabi)
        target_link_libraries(simde_avx512 PRIVATE rtd_options)
        target_link_libraries(test_cpu PRIVATE simde_avx512)
        target_compile_definitions(test_cpu PRIVATE RTD_SIMDE)
    else()
        message(STATUS "node-rtd: no SIMDe (Debian: libsimde-dev), testing AVX-512 only where the processor has it")
    endif()
endif()

# A file compiled for one processor shares no code with the others. (Instrumented, all share the sanitizer's.)
if(RTD_SIMD AND CMAKE_NM AND NOT RTD_SANITIZE)
    add_test(NAME cpu_symbols COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DOBJECTS=$<FILTER:$<TARGET_OBJECTS:rtd_objects>,INCLUDE,cpu/(avx2|avx512|avx512_vnni|neon|neon_dotprod)[.]cpp>"
        -P ${CMAKE_CURRENT_SOURCE_DIR}/cpu/symbols_test.cmake)
endif()
