# The Python package (bindings/python): for Debian's Python, where pybind11 and Python's headers are
# installed. A module is a shared library, so the libraries that it is made of are compiled once more,
# as position-independent code; what programs link stays as it is.
option(OVIR_BUILD_PYTHON "Build the Python package where pybind11 is found" ON)
set(OVIR_PYTHON OFF)
if(OVIR_BUILD_PYTHON AND NOT OVIR_SANITIZE AND NOT OVIR_BUILD_FUZZERS AND NOT OVIR_MUTANTS)
  if(NOT Python3_EXECUTABLE AND EXISTS /usr/bin/python3)
    set(Python3_EXECUTABLE /usr/bin/python3) # Debian's, whatever else is called python3 here
  endif()
  find_package(Python3 3.9 QUIET COMPONENTS Interpreter Development.Module)
  find_path(OVIR_PYBIND11 pybind11/pybind11.h)
  if(Python3_Development.Module_FOUND AND OVIR_PYBIND11)
    set(OVIR_PYTHON ON)
  else()
    message(STATUS "No Python package: pybind11 or Python's headers are missing; run scripts/setup test")
  endif()
endif()

# ovir_pic(NAME): NAME_pic, the same library for use in a module. Call it where NAME is complete, in the
# folder that defines it, because flags of single sources are known there alone.
function(ovir_pic name)
  if(NOT OVIR_PYTHON)
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
