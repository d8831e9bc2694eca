# find_package(halfbyte): the targets halfbyte::halfbyte (the core), halfbyte::halfbyte-compress,
# halfbyte::halfbyte-train and halfbyte::halfbyte-host.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/halfbyte-targets.cmake)
