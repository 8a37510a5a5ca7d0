// The kernels of the family "large": sm_80, sm_87, sm_90, sm_100, sm_103, sm_110.
#include "launch.cuh"

RTD_FAMILY(largeKernels, RTD_LARGE_KERNELS, 163 * 1024)
