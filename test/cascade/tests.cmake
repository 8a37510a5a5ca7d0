add_executable(test_cascade
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/bounds_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/data.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/search_test.cpp)
target_link_libraries(test_cascade PRIVATE rtd_harness)
# ThreadSanitizer is slow on arithmetic: it gets the searches and seals on several threads, not the millions of bounds.
set(cases)
if(RTD_SANITIZE STREQUAL "thread")
    set(cases removed "bit by bit" threshold cancelled)
endif()
add_test(NAME cascade COMMAND test_cascade ${cases})
