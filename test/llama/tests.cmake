include(${CMAKE_SOURCE_DIR}/cpp/llama/sources.cmake)

# Two libraries, of which one calls the other as the prebuilt binaries call theirs.
add_library(test_callee SHARED ${CMAKE_CURRENT_SOURCE_DIR}/llama/elf_callee.cpp)
add_library(test_caller SHARED ${CMAKE_CURRENT_SOURCE_DIR}/llama/elf_caller.cpp)
target_link_libraries(test_caller PRIVATE test_callee)
target_link_options(test_caller PRIVATE -Wl,-z,lazy)

add_executable(test_llama
    ${CMAKE_CURRENT_SOURCE_DIR}/llama/decode_run_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/llama/elf_got_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/llama/fake_llama.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/llama/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/llama/parts_test.cpp)
target_link_libraries(test_llama PRIVATE rtd_harness rtd_llama test_caller test_callee)
add_test(NAME llama COMMAND test_llama)

# With the emulated device as llama.cpp's and the reference's; where it is (cuda/tests.cmake).
if(TARGET rtd_emulation)
    target_sources(test_llama PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/llama/device_test.cpp)
    target_link_libraries(test_llama PRIVATE rtd_emulation)
endif()
