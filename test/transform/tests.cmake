add_executable(test_transform
    ${CMAKE_CURRENT_SOURCE_DIR}/transform/fit_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/transform/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/transform/transform_test.cpp)
target_link_libraries(test_transform PRIVATE rtd_harness)
add_test(NAME transform COMMAND test_transform)
