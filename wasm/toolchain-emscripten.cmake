# Emscripten: an emsdk where EMSDK says it is, else Debian's, which must be told where Debian keeps
# JavaScript libraries.
if(DEFINED ENV{EMSDK})
  include($ENV{EMSDK}/upstream/emscripten/cmake/Modules/Platform/Emscripten.cmake)
else()
  include(/usr/share/emscripten/cmake/Modules/Platform/Emscripten.cmake)
  set(CMAKE_C_LINKER_LAUNCHER ${CMAKE_COMMAND} -E env NODE_PATH=/usr/share/nodejs)
endif()

# A test runs its program in Node.
find_program(HB_NODE NAMES node nodejs REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${HB_NODE})
