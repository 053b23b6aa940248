# Compilations are cached when ccache is installed; nothing depends on it.
find_program(OVIR_CCACHE ccache)
if(OVIR_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${OVIR_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${OVIR_CCACHE})
endif()
