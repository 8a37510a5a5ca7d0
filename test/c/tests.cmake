# A program in C11 against the header and the shared library, as a user builds it.
add_executable(test_c ${CMAKE_CURRENT_SOURCE_DIR}/c/c_test.c)
set_target_properties(test_c PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
target_compile_options(test_c PRIVATE -Wall -Wextra -pedantic-errors -Werror -Wstrict-prototypes)
target_link_libraries(test_c PRIVATE rtd m)
if(RTD_SANITIZE)
    target_link_options(test_c PRIVATE -fsanitize=${RTD_SANITIZE})
endif()
add_test(NAME c COMMAND test_c)

# The same program as somebody else's project, by find_package; where what was built runs here without a sanitizer's run-time library.
if(NOT CMAKE_CROSSCOMPILING AND NOT RTD_SANITIZE)
    add_test(NAME c_installed COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DWORK=${CMAKE_CURRENT_BINARY_DIR}/installed
        -DVERSION=${PROJECT_VERSION} -P ${CMAKE_CURRENT_SOURCE_DIR}/c/install_test.cmake)
endif()
