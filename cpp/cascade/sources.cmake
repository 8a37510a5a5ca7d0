target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/build.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/directions.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/fit.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/cascade/query.cpp)
