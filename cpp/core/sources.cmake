target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/core/arguments.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/dtype.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/fusion.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/pages.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/core/status.cpp)
