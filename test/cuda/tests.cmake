include(${CMAKE_SOURCE_DIR}/cuda/emulation/emulation.cmake)

add_executable(test_cuda
    ${CMAKE_CURRENT_SOURCE_DIR}/core/case.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/oracle.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_run.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/kernel_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/main.cpp)
target_link_libraries(test_cuda PRIVATE rtd_harness rtd_emulation)
add_test(NAME cuda COMMAND test_cuda)
