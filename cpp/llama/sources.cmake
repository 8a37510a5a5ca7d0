# The tap into llama.cpp knows nothing of Node: the addon links it, and so do its tests.
if(NOT TARGET rtd_llama)
    add_library(rtd_llama OBJECT
        ${CMAKE_SOURCE_DIR}/cpp/llama/build.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/decode_run.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/elf_got.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/graph.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/merge.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/row_names.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/tap.cpp
        ${CMAKE_SOURCE_DIR}/cpp/llama/undecided.cpp)
    target_include_directories(rtd_llama PUBLIC ${CMAKE_SOURCE_DIR}/cpp)
    target_link_libraries(rtd_llama PUBLIC rtd_options ${CMAKE_DL_LIBS})
endif()

if(TARGET node_rtd)
    target_sources(node_rtd PRIVATE ${CMAKE_SOURCE_DIR}/cpp/napi/llama_binding.cpp)
    target_compile_definitions(node_rtd PRIVATE RTD_LLAMA)
    target_link_libraries(node_rtd PRIVATE rtd_llama)
endif()
