# The way to the CUDA binary, on stand-ins. Not under ThreadSanitizer, as the emulated device (cuda/tests.cmake), nor where programs that a test
# starts would need an emulator.
if(NOT RTD_SANITIZE MATCHES "thread" AND NOT CMAKE_CROSSCOMPILING)
    include(${CMAKE_SOURCE_DIR}/cuda/emulation/emulation.cmake)

    add_library(stand_in MODULE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/stand_in.cpp)
    target_link_libraries(stand_in PRIVATE rtd_module rtd_emulation)
    add_library(other_version MODULE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/other_version.cpp)
    add_library(no_function MODULE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/other_version.cpp)
    add_library(other_layout MODULE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/other_version.cpp)
    target_compile_definitions(other_version PRIVATE VERSION_STEP=1 BYTES_STEP=0)
    target_compile_definitions(other_layout PRIVATE VERSION_STEP=0 BYTES_STEP=8)
    target_compile_definitions(no_function PRIVATE VERSION_STEP=0 BYTES_STEP=0 rtd_cuda_module=some_other_function)
    add_executable(stand_in_probe ${CMAKE_CURRENT_SOURCE_DIR}/gpu/stand_in_probe.cpp)
    foreach(target IN ITEMS other_version other_layout no_function stand_in_probe)
        target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cpp ${CMAKE_SOURCE_DIR}/cuda)
        target_link_libraries(${target} PRIVATE rtd_options)
    endforeach()

    add_executable(test_cuda_binary
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/backend_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/device_pointers_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/backend_choice_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/choice.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/faults_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/module_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/probe_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/stand_in_main.cpp)
    target_compile_definitions(test_cuda_binary PRIVATE
        RTD_STAND_IN_MODULE="$<TARGET_FILE:stand_in>"
        RTD_OTHER_VERSION="$<TARGET_FILE:other_version>"
        RTD_OTHER_LAYOUT="$<TARGET_FILE:other_layout>"
        RTD_NO_FUNCTION="$<TARGET_FILE:no_function>"
        RTD_STAND_IN_PROBE="$<TARGET_FILE:stand_in_probe>"
        RTD_REAL_PROBE="$<TARGET_FILE:rtd_cuda_probe>")
    target_link_libraries(test_cuda_binary PRIVATE rtd_harness rtd_emulation)
    add_dependencies(test_cuda_binary stand_in other_version other_layout no_function stand_in_probe rtd_cuda_probe)
    add_test(NAME cuda_binary COMMAND test_cuda_binary)

    # The examples' Python, on the stand-in.
    find_package(Python3 COMPONENTS Interpreter)
    if(Python3_FOUND AND NOT RTD_SANITIZE)
        add_test(NAME cuda_python COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/gpu/ctypes_test.py ${CMAKE_SOURCE_DIR}/cuda/examples
            $<TARGET_FILE:rtd> $<TARGET_FILE:stand_in> $<TARGET_FILE:rtd_cuda_probe>)
    endif()
endif()

# The test tables on a real device. Only by `ctest -C gpu`, as the preset "gpu" does: it fails where there is none.
if(TARGET rtd_cuda)
    add_executable(test_gpu
        ${CMAKE_CURRENT_SOURCE_DIR}/cascade/data.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/core/fusion_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/core/index_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/core/search_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/core/threads_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/core/weighing_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/backend_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/cascade_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/cuda/device_pointers_test.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/main.cpp
        ${CMAKE_CURRENT_SOURCE_DIR}/gpu/memory_test.cpp)
    target_compile_definitions(test_gpu PRIVATE RTD_BUILT_MODULE="$<TARGET_FILE:rtd_cuda>")
    find_package(Threads REQUIRED)
    target_include_directories(test_gpu SYSTEM PRIVATE ${cuda_include})
    target_link_libraries(test_gpu PRIVATE rtd_harness ${cudart} Threads::Threads ${CMAKE_DL_LIBS} rt)
    add_dependencies(test_gpu rtd_cuda)
    add_test(NAME gpu CONFIGURATIONS gpu COMMAND test_gpu)
    add_test(NAME gpu_example CONFIGURATIONS gpu COMMAND rtd_decoder_step)
    find_package(Python3 COMPONENTS Interpreter)
    if(Python3_FOUND)
        execute_process(COMMAND ${Python3_EXECUTABLE} -c "import torch" RESULT_VARIABLE no_torch OUTPUT_QUIET ERROR_QUIET)
    endif()
    if(Python3_FOUND AND NOT no_torch)
        add_test(NAME gpu_example_python CONFIGURATIONS gpu
            COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/cuda/examples/decoder_step.py $<TARGET_FILE:rtd>)
        set_tests_properties(gpu_example_python PROPERTIES ENVIRONMENT RTD_CUDA_LIBRARY=$<TARGET_FILE:rtd_cuda>)
    else()
        message(STATUS "node-rtd: no Python with torch found, testing the device without the example in Python")
    endif()

    # Random cases, watched by NVIDIA's sanitizer where it is installed.
    find_program(RTD_COMPUTE_SANITIZER compute-sanitizer HINTS ENV CUDA_PATH ${RTD_NVCC_ROOT} /usr/local/cuda PATH_SUFFIXES bin compute-sanitizer)
    if(RTD_COMPUTE_SANITIZER)
        foreach(tool IN ITEMS memcheck racecheck synccheck)
            add_test(NAME gpu_${tool} CONFIGURATIONS gpu
                COMMAND ${RTD_COMPUTE_SANITIZER} --tool ${tool} --target-processes application-only --error-exitcode 99 $<TARGET_FILE:test_gpu> "random cases")
            set_tests_properties(gpu_${tool} PROPERTIES ENVIRONMENT RTD_TEST_CASES=20)
        endforeach()
    else()
        message(STATUS "node-rtd: no compute-sanitizer found, testing the device without it")
    endif()
endif()
