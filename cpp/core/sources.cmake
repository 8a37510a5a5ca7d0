target_sources(rtd_objects PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/core/status.cpp)
