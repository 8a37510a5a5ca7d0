// Every instantiation of the kernel, one line each: X(key, is dot, queries, stages). All have 8 warps.
//
// Families differ in the shared memory that an architecture gives a block; kernels of one family are compiled for its architectures only. Stages:
// enough that (stages - 1) x stage bytes x blocks an SM covers latency x bandwidth (design of the copies), and k = 2048 still fits.
//
//   large   sm_80, sm_87, sm_90, sm_100, sm_103, sm_110   163 KB and more
//   medium  sm_86, sm_88, sm_89, sm_120, sm_121           99 KB
//   small   sm_75                                         64 KB; copies go through registers, and more than 4 queries a pass do not fit
#pragma once

#define RTD_FOR_KEYS(X, isDot, queries, stages32, stages16) \
    X(Single, isDot, queries, stages32)                     \
    X(Half, isDot, queries, stages16)                       \
    X(Brain, isDot, queries, stages16)

#define RTD_FOR_METRICS(X, queries, stages32, stages16) \
    RTD_FOR_KEYS(X, false, queries, stages32, stages16) \
    RTD_FOR_KEYS(X, true, queries, stages32, stages16)

#define RTD_LARGE_KERNELS(X)    \
    RTD_FOR_METRICS(X, 1, 4, 4) \
    RTD_FOR_METRICS(X, 4, 6, 6) \
    RTD_FOR_METRICS(X, 8, 6, 5) \
    RTD_FOR_METRICS(X, 16, 6, 5)

#define RTD_MEDIUM_KERNELS(X)   \
    RTD_FOR_METRICS(X, 1, 4, 4) \
    RTD_FOR_METRICS(X, 4, 4, 3) \
    RTD_FOR_METRICS(X, 8, 3, 3) \
    RTD_FOR_METRICS(X, 16, 4, 3)

#define RTD_SMALL_KERNELS(X)    \
    RTD_FOR_METRICS(X, 1, 2, 2) \
    RTD_FOR_METRICS(X, 4, 2, 2)
