target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/transform/fit.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/transform/transform.cpp)
