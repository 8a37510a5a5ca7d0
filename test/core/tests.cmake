add_executable(test_core
    ${CMAKE_CURRENT_SOURCE_DIR}/core/errors_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/fusion_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/index_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/number_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/search_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/threads_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/weighing_test.cpp)
target_link_libraries(test_core PRIVATE rtd_harness)
add_test(NAME core COMMAND test_core)
# What threads do to an index once more with a cascade over every entry.
add_test(NAME threads_cascades COMMAND test_core "a search sees" "several threads" "entries are added and removed" "an entry removed")
set_tests_properties(threads_cascades PROPERTIES ENVIRONMENT RTD_CASCADE=always)
