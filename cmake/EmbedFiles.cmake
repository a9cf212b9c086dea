# Writes OUT, a .cpp with the bytes of FILES ("|" between them; in FOLDER, or NAME=PATH for one from elsewhere): the span of
# net::WebFile that FUNCTION of HEADER returns, in NAMESPACE. The same bytes give the same text.
cmake_minimum_required(VERSION 3.25)
string(REPLACE "|" ";" FILES "${FILES}")
set(types html "text/html\; charset=utf-8" css "text/css\; charset=utf-8" js "text/javascript\; charset=utf-8" svg "image/svg+xml")
set(arrays "")
set(rows "")
set(number 0)
foreach(file IN LISTS FILES)
  set(path ${FOLDER}/${file})
  if(file MATCHES "^([^=]+)=(.+)$")
    set(file ${CMAKE_MATCH_1})
    set(path ${CMAKE_MATCH_2})
  endif()
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING ${extension} 1 -1 extension)
  list(FIND types ${extension} at)
  if(at EQUAL -1)
    message(FATAL_ERROR "no media type for ${file}")
  endif()
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  file(READ ${path} bytes HEX)
  file(SHA256 ${path} digest)
  string(SUBSTRING ${digest} 0 32 digest)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND rows "    {\"/${file}\", \"${type}\", \"\\\"${digest}\\\"\", text(kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "#include \"${HEADER}\"

#include <array>

namespace ${NAMESPACE} {

namespace {

${arrays}
template <std::size_t kSize>
std::string_view text(const unsigned char (&bytes)[kSize]) {
  return {reinterpret_cast<const char*>(bytes), kSize};
}

}  // namespace

std::span<const nostril::net::WebFile> ${FUNCTION}() {
  static const std::array<nostril::net::WebFile, ${number}> kFiles = {{
${rows}  }};
  return kFiles;
}

}  // namespace ${NAMESPACE}
")
