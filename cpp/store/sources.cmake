target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/store/cascade_file.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/checksum.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/files.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/json.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/manifest.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/posix_file_system.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/safetensors.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/segment.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/space.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/store.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/store_abi.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/transform_file.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/verify.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/store/write_entries.cpp)
