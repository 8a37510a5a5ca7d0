add_executable(test_cascade
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/bounds_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/data.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/search_test.cpp)
target_link_libraries(test_cascade PRIVATE rtd_harness)
# Where arithmetic is slow, not the millions of bounds: under sanitizers the searches and seals, of them with ThreadSanitizer those on several threads;
# emulated what depends on the instruction set.
set(cases)
if(RTD_SANITIZE STREQUAL "thread")
    set(cases removed "bit by bit" threshold cancelled)
elseif(RTD_SANITIZE)
    set(cases random "every back end" heads removed "bit by bit" threshold "many directions" "whole blocks" "far from" cancelled)
elseif(CMAKE_CROSSCOMPILING)
    set(cases random "every back end" "bit by bit")
endif()
add_test(NAME cascade COMMAND test_cascade ${cases})
