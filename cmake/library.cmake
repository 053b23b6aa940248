# ovir_library(NAME folder): one static library per top-level folder from every .cpp in it. Folders
# link only what their README's "May include" line allows; tests/tidy checks the includes as well.
function(ovir_set_isa_flags)
  foreach(source ${ARGN})
    if(source MATCHES "_avx2[^/]*\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_FLAGS "${OVIR_FLAGS_AVX2}"
                                  SKIP_PRECOMPILE_HEADERS ON)
    elseif(source MATCHES "_avx512[^/]*\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_FLAGS "${OVIR_FLAGS_AVX512}"
                                  SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()

function(ovir_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.hpp)
  ovir_set_isa_flags(${sources})
  add_library(${name} STATIC ${sources})
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${headers})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARGN} PRIVATE ovir_flags)
  set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()
