# Emscripten: an emsdk where EMSDK says it is, else Debian's, which finds its JavaScript libraries
# only with NODE_PATH=/usr/share/nodejs (the preset sets it).
if(DEFINED ENV{EMSDK})
  include($ENV{EMSDK}/upstream/emscripten/cmake/Modules/Platform/Emscripten.cmake)
else()
  include(/usr/share/emscripten/cmake/Modules/Platform/Emscripten.cmake)
endif()

# A test runs its program in Node.
find_program(HB_NODE NAMES node nodejs REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${HB_NODE})
