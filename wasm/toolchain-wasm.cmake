# WebAssembly by clang and lld with wasi-libc: a WASI SDK where WASI_SDK_PATH says it is, else
# Debian's clang-19, lld-19, wasi-libc and libclang-rt-19-dev-wasm32.
#
# CMake knows no system of the name WASI; Generic makes no assumptions.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
if(DEFINED ENV{WASI_SDK_PATH})
  set(CMAKE_C_COMPILER $ENV{WASI_SDK_PATH}/bin/clang)
  set(CMAKE_AR $ENV{WASI_SDK_PATH}/bin/llvm-ar)
  set(CMAKE_RANLIB $ENV{WASI_SDK_PATH}/bin/llvm-ranlib)
  set(CMAKE_SYSROOT $ENV{WASI_SDK_PATH}/share/wasi-sysroot)
else()
  set(CMAKE_C_COMPILER clang-19)
  set(CMAKE_AR llvm-ar-19)
  set(CMAKE_RANLIB llvm-ranlib-19)
endif()

# With an -O at the link, clang runs whatever wasm-opt is in PATH. Those of distributions cannot
# read relaxed SIMD, and the kernels lose speed.
set(CMAKE_EXE_LINKER_FLAGS_INIT -O0)
