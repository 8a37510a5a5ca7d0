# ThreadSanitizer can neither follow nor find a race in one thread that switches stacks, which the emulated device is: there, lanes are threads.
if(RTD_SANITIZE MATCHES "thread")
    add_executable(test_cuda_threads
        ${CMAKE_SOURCE_DIR}/cuda/emulation/threads.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_run.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/main.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/threads_test.cpp)
    target_compile_definitions(test_cuda_threads PRIVATE RTD_LANES_ARE_THREADS RTD_SMALL_CONFIGS)
    target_compile_options(test_cuda_threads PRIVATE -Wno-unknown-pragmas)
    target_include_directories(test_cuda_threads PRIVATE ${CMAKE_SOURCE_DIR}/cuda)
    target_link_libraries(test_cuda_threads PRIVATE rtd_harness)
    add_test(NAME cuda_threads COMMAND test_cuda_threads)
else()
    include(${CMAKE_SOURCE_DIR}/cuda/emulation/emulation.cmake)

    # The kernel in all its test shapes, compiled once.
    add_library(kernel_cases OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_run.cpp)
    target_link_libraries(kernel_cases PUBLIC rtd_harness rtd_emulation)

    add_executable(test_cuda
        ${CMAKE_CURRENT_SOURCE_DIR}/cascade/data.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/backend_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/cascade_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/device_pointers_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/emulated_backend_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/emulation_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/main.cpp)
    target_link_libraries(test_cuda PRIVATE kernel_cases)
    add_test(NAME cuda COMMAND test_cuda)
    set_tests_properties(cuda PROPERTIES COST 500)
    if(RTD_SANITIZE OR CMAKE_CROSSCOMPILING)  # a tenth of the speed, or less
        set_tests_properties(cuda PROPERTIES ENVIRONMENT RTD_KERNEL_CASES=150)
    endif()

    # For `npm run kernel:report`.
    add_executable(kernel_counts EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_counts.cpp)
    target_link_libraries(kernel_counts PRIVATE kernel_cases)

    # What is the same on every processor: the shadow of shared memory, and leaving out every barrier in turn.
    if(NOT RTD_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
        add_library(shadowed_cases OBJECT ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_run.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cuda/shadow_test.cpp)
        target_compile_options(shadowed_cases PRIVATE -fsanitize=thread -O1)
        target_link_libraries(shadowed_cases PUBLIC rtd_harness rtd_emulation)
        add_executable(test_cuda_shadow ${CMAKE_SOURCE_DIR}/cuda/emulation/shadow.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cuda/main.cpp)
        target_link_libraries(test_cuda_shadow PRIVATE shadowed_cases)
        add_test(NAME cuda_shadow COMMAND test_cuda_shadow)

        # The kernel with every fault of faults.h to choose from.
        set(kernel_files search_fuse.cuh seeds.cuh gather.cuh scan.cuh pool.cuh select.cuh sums.cuh logits.cuh merge.cuh prepare.cuh levels.cuh tensor.cuh
            sift.cuh transform.cuh config.cuh primitives.cuh)
        list(TRANSFORM kernel_files PREPEND ${CMAKE_CURRENT_BINARY_DIR}/faulty/ OUTPUT_VARIABLE faulty_files)
        list(TRANSFORM kernel_files PREPEND ${CMAKE_SOURCE_DIR}/cuda/ OUTPUT_VARIABLE right_files)
        file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/faulty)
        add_executable(break_kernel ${CMAKE_CURRENT_SOURCE_DIR}/cuda/break_kernel.cpp)
        target_link_libraries(break_kernel PRIVATE rtd_options)
        add_custom_command(OUTPUT ${faulty_files} DEPENDS break_kernel ${right_files} VERBATIM
            COMMAND break_kernel ${CMAKE_SOURCE_DIR}/cuda ${CMAKE_CURRENT_BINARY_DIR}/faulty ${kernel_files})
        add_executable(test_cuda_mutants ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_run.cpp ${CMAKE_CURRENT_SOURCE_DIR}/cuda/mutants.cpp ${faulty_files})
        target_include_directories(test_cuda_mutants BEFORE PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/faulty)
        target_compile_definitions(test_cuda_mutants PRIVATE RTD_CUDA_SOURCES="${CMAKE_SOURCE_DIR}/cuda" RTD_SMALL_CONFIGS)
        target_link_libraries(test_cuda_mutants PRIVATE rtd_harness rtd_emulation)
        add_test(NAME cuda_mutants COMMAND test_cuda_mutants 1000)
        set_tests_properties(cuda_mutants PROPERTIES COST 1000)  # the longest: begins first
    endif()
endif()
