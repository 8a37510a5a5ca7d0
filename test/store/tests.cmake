add_executable(test_store
    ${CMAKE_CURRENT_SOURCE_DIR}/store/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/fake_file_system.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/fixture.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/checksum_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/json_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/store_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/crash_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/damage_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/forged_test.cpp)
target_link_libraries(test_store PRIVATE rtd_harness)
add_test(NAME store COMMAND test_store)
