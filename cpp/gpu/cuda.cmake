# The CUDA binary, rtd_cuda, and beside it the probe that finds out whether it works. Without nvcc there is none and the CPU serves.
#
# nvcc is called by commands of our own: CMake's CUDA language knows one list of architectures a target, where ours depend on the file, and its
# check of the compiler fails with a toolkit from Python wheels. That and NVIDIA's own layout both serve, of CUDA 12 and 13.
set(RTD_CUDA AUTO CACHE STRING "build the CUDA back end: AUTO where there is nvcc, ON, OFF")
set_property(CACHE RTD_CUDA PROPERTY STRINGS AUTO ON OFF)
set(RTD_CUDA_ARCHITECTURES "" CACHE STRING "compute capabilities to build for, as 90 or 80;90; native: this machine's; empty: all that the compiler knows")
set(RTD_NVCC_ROOT "" CACHE PATH "a CUDA toolkit, the folder with bin/nvcc; empty: looked for")

# It holds no CUDA itself; tests run it on stand-ins.
add_executable(rtd_cuda_probe EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/gpu/probe_main.cpp)
target_link_libraries(rtd_cuda_probe PRIVATE rtd_static)
set_target_properties(rtd_cuda_probe PROPERTIES OUTPUT_NAME rtd-cuda-probe)
if(NOT RTD_CUDA)
    return()
endif()

# ---- the toolkit ----------------------------------------------------------------------------------------------------------------------

if(RTD_NVCC_ROOT OR CUDAToolkit_ROOT)  # that one and no other
    find_program(nvcc nvcc PATHS ${RTD_NVCC_ROOT} ${CUDAToolkit_ROOT} PATH_SUFFIXES bin NO_CACHE NO_DEFAULT_PATH)
else()
    find_program(nvcc NAMES ${CMAKE_CUDA_COMPILER} nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin NO_CACHE)
endif()
set(missing "no nvcc found")
if(nvcc)
    file(REAL_PATH ${nvcc} nvcc)  # the folder above bin holds the rest, also where nvcc was found as a link
    cmake_path(GET nvcc PARENT_PATH root)
    cmake_path(GET root PARENT_PATH root)
    file(GLOB targets ${root}/targets/*linux*)
    find_library(cudart cudart_static HINTS ${root} ${targets} PATH_SUFFIXES lib64 lib NO_CACHE)
    find_path(cuda_include cuda_runtime.h HINTS ${root} ${targets} PATH_SUFFIXES include NO_CACHE)
    set(trial ${CMAKE_CURRENT_BINARY_DIR}/nvcc_trial)
    file(WRITE ${trial}.cu "__global__ void kernel() {}\n")
    execute_process(COMMAND ${nvcc} -std=c++20 -ccbin=${CMAKE_CXX_COMPILER} -c ${trial}.cu -o ${trial}.o
        OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE status)
    if(NOT cudart OR NOT cuda_include)
        set(missing "${nvcc} found without libcudart_static.a and cuda_runtime.h")
    elseif(NOT status EQUAL 0)  # older than 12, or than the C++ compiler
        string(STRIP "${said}" said)
        set(missing "${nvcc} cannot compile C++20 with ${CMAKE_CXX_COMPILER} (${said})")
    else()
        unset(missing)
    endif()
endif()
if(missing AND RTD_CUDA STREQUAL "AUTO")
    message(STATUS "node-rtd: ${missing}, building the CPU back ends only")
    return()
elseif(missing)
    message(FATAL_ERROR "node-rtd: RTD_CUDA is ${RTD_CUDA}, but ${missing}. Put nvcc into PATH, or give -DRTD_NVCC_ROOT=the folder with bin/nvcc; "
        "without CUDA: -DRTD_CUDA=OFF.")
endif()

# ---- the kernels, a file for each family (cuda/instantiations.h) -------------------------------------------------------------------------

set(large_architectures 80 87 90 100 103 110)
set(medium_architectures 86 88 89 120 121)
set(small_architectures 75)
execute_process(COMMAND ${nvcc} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[0-9]+" known "${known}")
set(wanted ${RTD_CUDA_ARCHITECTURES})
if(wanted STREQUAL "native")
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE wanted ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" wanted "${wanted}")
    string(REPLACE "." "" wanted "${wanted}")
    list(REMOVE_DUPLICATES wanted)
    if(NOT wanted)
        message(FATAL_ERROR "node-rtd: RTD_CUDA_ARCHITECTURES is native, but nvidia-smi shows no CUDA device here. To build for another machine's, name "
            "them: cmake --preset gpu -DRTD_CUDA_ARCHITECTURES=90 and so on (80\;90: several).")
    endif()
endif()

add_library(rtd_cuda MODULE ${CMAKE_CURRENT_SOURCE_DIR}/gpu/cuda_device.cpp)
set(compiled)
foreach(family IN ITEMS large medium small)
    set(codes)
    foreach(architecture IN LISTS ${family}_architectures)
        if(architecture IN_LIST known AND (NOT wanted OR architecture IN_LIST wanted))
            list(APPEND codes -gencode=arch=compute_${architecture},code=sm_${architecture})
            list(APPEND compiled ${architecture})
        endif()
    endforeach()
    if(NOT codes)
        continue()
    endif()
    set(source ${CMAKE_SOURCE_DIR}/cuda/search_fuse_${family}.cu)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/search_fuse_${family}.o)
    # Neither -use_fast_math nor -ftz=true: the results' bits are promised.
    add_custom_command(OUTPUT ${object}
        COMMAND ${nvcc} -std=c++20 -O3 ${codes} --threads=4 -ccbin=${CMAKE_CXX_COMPILER} -I${CMAKE_SOURCE_DIR}/cuda -I${CMAKE_CURRENT_SOURCE_DIR}
            -Werror=all-warnings -Xcompiler=-fPIC,-fvisibility=hidden -MD -MT ${object} -MF ${object}.d -c ${source} -o ${object}
        DEPENDS ${source} DEPFILE ${object}.d COMMENT "Compiling the kernels of search_fuse_${family}.cu" VERBATIM)
    target_sources(rtd_cuda PRIVATE ${object})
    string(TOUPPER ${family} upper)
    target_compile_definitions(rtd_cuda PRIVATE RTD_CUDA_${upper})
endforeach()
foreach(architecture IN LISTS wanted)
    if(NOT architecture IN_LIST compiled)
        message(FATAL_ERROR "node-rtd: RTD_CUDA_ARCHITECTURES (${RTD_CUDA_ARCHITECTURES}) asks for ${architecture}. There are kernels for ${large_architectures};"
            "${medium_architectures};${small_architectures}, and ${nvcc} knows ${known}.")
    endif()
endforeach()
message(STATUS "node-rtd: building the CUDA back end with ${nvcc} for ${compiled}")

# ---- the binary -----------------------------------------------------------------------------------------------------------------------

# The runtime is linked in and shows none of its symbols: llama.cpp may have brought another version into the process.
target_include_directories(rtd_cuda SYSTEM PRIVATE ${cuda_include})
target_link_libraries(rtd_cuda PRIVATE rtd_module ${cudart} Threads::Threads ${CMAKE_DL_LIBS} rt)
target_link_options(rtd_cuda PRIVATE -Wl,--no-undefined)
set(folder ${CMAKE_CURRENT_BINARY_DIR})
if(CMAKE_LIBRARY_OUTPUT_DIRECTORY)
    set(folder ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
endif()
set_target_properties(rtd_cuda_probe PROPERTIES EXCLUDE_FROM_ALL OFF RUNTIME_OUTPUT_DIRECTORY ${folder})
add_dependencies(rtd_cuda rtd_cuda_probe)

# For what else is compiled by nvcc.
list(TRANSFORM compiled REPLACE "(.+)" "-gencode=arch=compute_\\1,code=sm_\\1" OUTPUT_VARIABLE codes)
if(RTD_TESTS)
    include(${CMAKE_SOURCE_DIR}/cuda/examples/examples.cmake)
endif()
foreach(name IN ITEMS nvcc codes cudart cuda_include)
    set(${name} "${${name}}" PARENT_SCOPE)
endforeach()
