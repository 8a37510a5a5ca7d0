// The kernels of the family "medium": sm_86, sm_88, sm_89, sm_120, sm_121.
#include "launch.cuh"

RTD_FAMILY(mediumKernels, RTD_MEDIUM_KERNELS, 99 * 1024)
