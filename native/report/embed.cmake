# Writes the page IN, with what pages share in the places of @page.css@ and @page.js@, as a C array
# with a NUL behind it:
#   cmake -DIN=report.html -DOUT=report.c -DNAME=report_page -P embed.cmake
file(READ ${IN} page)
foreach(part page.css page.js)
  file(READ ${CMAKE_CURRENT_LIST_DIR}/${part} text)
  string(STRIP "${text}" text)
  string(REPLACE "@${part}@" "${text}" page "${page}")
endforeach()
string(HEX "${page}" bytes)
string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
file(WRITE ${OUT} "extern const char ${NAME}[];\nconst char ${NAME}[] = {\n${bytes}0};\n")
