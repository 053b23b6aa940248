# The Python package (bindings/python): for Debian's Python, where pybind11 and Python's headers are
# installed.
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
