# libovir and the Python package (bindings) are shared libraries, so the libraries that they are made of
# are compiled once more, as position-independent code; what programs link stays as it is.
option(OVIR_BUILD_LIBRARY "Build libovir, the library for C++ programs" ON)
set(OVIR_LIBRARY OFF)
if(OVIR_BUILD_LIBRARY AND NOT OVIR_SANITIZE AND NOT OVIR_BUILD_FUZZERS AND NOT OVIR_MUTANTS)
  set(OVIR_LIBRARY ON)
endif()
set(OVIR_PIC OFF)
if(OVIR_LIBRARY OR OVIR_PYTHON)
  set(OVIR_PIC ON)
endif()

# ovir_pic(NAME): NAME_pic, the same library for use in a module. Call it where NAME is complete, in the
# folder that defines it, because flags of single sources are known there alone.
function(ovir_pic name)
  if(NOT OVIR_PIC)
    return()
  endif()
  get_target_property(sources ${name} SOURCES)
  add_library(${name}_pic STATIC EXCLUDE_FROM_ALL ${sources})
  foreach(property COMPILE_DEFINITIONS COMPILE_OPTIONS INCLUDE_DIRECTORIES
                   INTERFACE_INCLUDE_DIRECTORIES UNITY_BUILD UNITY_BUILD_MODE)
    get_target_property(value ${name} ${property})
    if(value)
      set_property(TARGET ${name}_pic PROPERTY ${property} ${value})
    endif()
  endforeach()
  get_target_property(libraries ${name} LINK_LIBRARIES)
  foreach(library IN LISTS libraries)
    string(REPLACE "::" "_" plain "${library}") # ovir::blake3 may be ovir_blake3
    if(TARGET ${plain}_pic)
      set(library ${plain}_pic)
    endif()
    if(library)
      target_link_libraries(${name}_pic PUBLIC ${library})
    endif()
  endforeach()
  set_target_properties(${name}_pic PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endfunction()
