add_executable(test_store
    ${CMAKE_CURRENT_SOURCE_DIR}/store/main.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/fake_file_system.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/fixture.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/abi_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/checksum_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/concurrent_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/json_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/store_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/crash_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/damage_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/derived_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/disk_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/forged_test.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/space_test.cpp)
target_link_libraries(test_store PRIVATE rtd_harness)
add_test(NAME store COMMAND test_store)
if(CMAKE_CROSSCOMPILING)  # an emulator does not tell the system which pages are wanted
    set_tests_properties(store PROPERTIES ENVIRONMENT RTD_READS_AHEAD=1)
endif()
# The promises once more with a cascade over every entry, however few there are: more files, and more operations that may fail.
if(NOT RTD_SANITIZE AND NOT CMAKE_CROSSCOMPILING)  # where it would take minutes to find what it finds above
    add_test(NAME store_cascades COMMAND test_store crash: failure: processes: threads: store: disk: abi:)
    set_tests_properties(store_cascades PROPERTIES ENVIRONMENT RTD_CASCADE=always)
endif()

# Python's safetensors on our files. Only by `ctest -C python`: not everybody who builds the library has the Python packages.
add_executable(make_store ${CMAKE_CURRENT_SOURCE_DIR}/store/make_store.cpp)
target_link_libraries(make_store PRIVATE rtd_harness)
set(RTD_PYTHON "${CMAKE_SOURCE_DIR}/build/python/bin/python" CACHE FILEPATH "a Python with safetensors and numpy")
add_test(NAME store_python CONFIGURATIONS python COMMAND ${RTD_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/store/segment_test.py $<TARGET_FILE:make_store>)
