target_sources(rtd_objects PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/index/cascade_search.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/entries.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/fuse_rows.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/index.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/level_filter.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/row_options.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/scan.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/search.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/search_call.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/temperature.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/index/workers.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/rtd.cpp)
