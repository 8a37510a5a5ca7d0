# The benchmark of the CUDA device. Run by `ctest -C bench`, as the preset "bench-gpu" does.
set(object ${CMAKE_CURRENT_BINARY_DIR}/bench_ceiling.o)
add_custom_command(OUTPUT ${object}
    COMMAND ${nvcc} -std=c++20 -O3 ${codes} -ccbin=${CMAKE_CXX_COMPILER} -Werror=all-warnings -c ${CMAKE_CURRENT_SOURCE_DIR}/gpu/ceiling.cu -o ${object}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/gpu/ceiling.cu ${CMAKE_CURRENT_SOURCE_DIR}/gpu/ceiling.h COMMENT "Compiling bench/gpu/ceiling.cu" VERBATIM)
add_executable(bench_gpu ${CMAKE_CURRENT_SOURCE_DIR}/gpu/search_fuse.cpp ${object})
target_compile_definitions(bench_gpu PRIVATE RTD_BUILT_MODULE="$<TARGET_FILE:rtd_cuda>")
target_include_directories(bench_gpu SYSTEM PRIVATE ${cuda_include})
find_package(Threads REQUIRED)
target_link_libraries(bench_gpu PRIVATE rtd rtd_options ${cudart} Threads::Threads ${CMAKE_DL_LIBS} rt)
add_dependencies(bench_gpu rtd_cuda)
add_test(NAME bench_gpu CONFIGURATIONS bench COMMAND bench_gpu --json bench_gpu.json)
set_tests_properties(bench_gpu PROPERTIES FIXTURES_SETUP measured)

find_program(RTD_PYTHON python3)
if(RTD_PYTHON)
    add_test(NAME bench_gpu_peers CONFIGURATIONS bench COMMAND ${RTD_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/gpu/peers.py bench_gpu.json)
    set_tests_properties(bench_gpu_peers PROPERTIES FIXTURES_REQUIRED measured)
else()
    message(STATUS "node-rtd: no python3 found, measuring the device without peers")
endif()
