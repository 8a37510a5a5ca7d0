// The kernels of the family "small": sm_75.
#include "launch.cuh"

RTD_FAMILY(smallKernels, RTD_SMALL_KERNELS, 64 * 1024)
