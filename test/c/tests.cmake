# A program in C11 against the header and the shared library, as a user builds it.
add_executable(test_c ${CMAKE_CURRENT_SOURCE_DIR}/c/c_test.c)
set_target_properties(test_c PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
target_compile_options(test_c PRIVATE -Wall -Wextra -pedantic-errors -Werror -Wstrict-prototypes)
target_link_libraries(test_c PRIVATE rtd m)
if(RTD_SANITIZE)
    target_link_options(test_c PRIVATE -fsanitize=${RTD_SANITIZE})
endif()
add_test(NAME c COMMAND test_c)
