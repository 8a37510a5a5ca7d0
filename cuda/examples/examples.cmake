# The example in CUDA C++, compiled as a user's program is: against rtd.h, linked with the shared library and the CUDA runtime.
set(object ${CMAKE_CURRENT_BINARY_DIR}/decoder_step.o)
add_custom_command(OUTPUT ${object}
    COMMAND ${nvcc} -std=c++17 ${codes} -ccbin=${CMAKE_CXX_COMPILER} -I${CMAKE_CURRENT_SOURCE_DIR} -Werror=all-warnings -c
        ${CMAKE_SOURCE_DIR}/cuda/examples/decoder_step.cu -o ${object}
    DEPENDS ${CMAKE_SOURCE_DIR}/cuda/examples/decoder_step.cu ${CMAKE_CURRENT_SOURCE_DIR}/rtd.h COMMENT "Compiling the example decoder_step.cu" VERBATIM)
add_executable(rtd_decoder_step ${object})
set_target_properties(rtd_decoder_step PROPERTIES LINKER_LANGUAGE CXX)
target_link_libraries(rtd_decoder_step PRIVATE rtd ${cudart} Threads::Threads ${CMAKE_DL_LIBS} rt)
add_dependencies(rtd_decoder_step rtd_cuda)
