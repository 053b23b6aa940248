#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/// Every function of OpenCL 1.2 that this room calls, without the "cl" before it.
#define OVIR_OPENCL_CALLS(X)                                                                       \
  X(GetPlatformIDs)                                                                                \
  X(GetPlatformInfo)                                                                               \
  X(GetDeviceIDs)                                                                                  \
  X(GetDeviceInfo)                                                                                 \
  X(CreateContext)                                                                                 \
  X(ReleaseContext)                                                                                \
  X(CreateCommandQueue)                                                                            \
  X(ReleaseCommandQueue)                                                                           \
  X(CreateProgramWithSource)                                                                       \
  X(CreateProgramWithBinary)                                                                       \
  X(BuildProgram)                                                                                  \
  X(GetProgramBuildInfo)                                                                           \
  X(GetProgramInfo)                                                                                \
  X(ReleaseProgram)                                                                                \
  X(CreateKernel)                                                                                  \
  X(GetKernelWorkGroupInfo)                                                                        \
  X(SetKernelArg)                                                                                  \
  X(ReleaseKernel)                                                                                 \
  X(CreateBuffer)                                                                                  \
  X(ReleaseMemObject)                                                                              \
  X(EnqueueWriteBuffer)                                                                            \
  X(EnqueueReadBuffer)                                                                             \
  X(EnqueueCopyBuffer)                                                                             \
  X(EnqueueNDRangeKernel)                                                                          \
  X(Finish)

namespace ovir::compute {

/// They by pointer: the library is loaded at run time.
struct opencl_calls {
#define OVIR_OPENCL_MEMBER(name) decltype(&::cl##name) name{nullptr};
  OVIR_OPENCL_CALLS(OVIR_OPENCL_MEMBER)
#undef OVIR_OPENCL_MEMBER
};

} // namespace ovir::compute
