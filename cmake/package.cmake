# What `cmake --install` and the Debian package have (scripts/package).
include(GNUInstallDirs)
# A package needs two programs, not every test: scripts/package builds them.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)
set(package_folder ${PROJECT_SOURCE_DIR}/package)

# Manual pages and completion, by the programs themselves.
set(manual_folder ${CMAKE_BINARY_DIR}/manual)
set(completions)
set(completion_commands)
foreach(shell bash zsh fish)
  list(APPEND completions ${manual_folder}/ovir.${shell} ${manual_folder}/ovir-verify.${shell})
  list(APPEND completion_commands
    COMMAND ovir manual --completion=${shell} > ${manual_folder}/ovir.${shell}
    COMMAND ovir-verify --completion ${shell} > ${manual_folder}/ovir-verify.${shell})
endforeach()
add_custom_command(
  OUTPUT ${manual_folder}/ovir.1 ${manual_folder}/ovir-verify.1 ${completions}
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${manual_folder}
  COMMAND ovir manual --folder ${manual_folder}
  COMMAND ovir-verify --manual ${manual_folder}
  ${completion_commands}
  DEPENDS ovir ovir-verify VERBATIM)
add_custom_target(ovir_manual DEPENDS ${manual_folder}/ovir.1 ${manual_folder}/ovir-verify.1
                                      ${completions})

install(TARGETS ovir ovir-verify RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${manual_folder}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        FILES_MATCHING PATTERN "*.1")
foreach(program ovir ovir-verify)
  install(FILES ${manual_folder}/${program}.bash RENAME ${program}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${manual_folder}/${program}.zsh RENAME _${program}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
  install(FILES ${manual_folder}/${program}.fish
          DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endforeach()
install(FILES ${package_folder}/ovir.service DESTINATION lib/systemd/system)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/config/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
        FILES_MATCHING PATTERN "*.toml" PATTERN "*.json" PATTERN local EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/CHANGELOG.md ${package_folder}/copyright
        DESTINATION ${CMAKE_INSTALL_DOCDIR})

# For Debian's Python, which a system need not have.
if(OVIR_PYTHON)
  add_dependencies(ovir_manual ovir_python_package)
  install(DIRECTORY ${CMAKE_BINARY_DIR}/python/ovir DESTINATION lib/python3/dist-packages
          FILES_MATCHING PATTERN "*.py" PATTERN "*.pyi" PATTERN "py.typed" PATTERN "*.so"
          PATTERN "__pycache__" EXCLUDE)
endif()

# libovir, for C++ programs (bindings/cpp). `cmake --install BUILD --component library` installs it alone.
if(OVIR_LIBRARY)
  include(CMakePackageConfigHelpers)
  add_dependencies(ovir_manual libovir)
  set(library_folder ${PROJECT_SOURCE_DIR}/bindings/cpp)
  set(library_config ${CMAKE_INSTALL_LIBDIR}/cmake/ovir)
  configure_package_config_file(${library_folder}/ovirConfig.cmake.in
    ${CMAKE_BINARY_DIR}/ovirConfig.cmake INSTALL_DESTINATION ${library_config})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/ovirConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  file(RELATIVE_PATH library_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(${library_folder}/ovir.pc.in ${CMAKE_BINARY_DIR}/ovir.pc @ONLY)
  install(TARGETS libovir EXPORT ovir
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT library
          FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
  install(EXPORT ovir FILE ovirTargets.cmake NAMESPACE ovir:: DESTINATION ${library_config}
          COMPONENT library)
  install(FILES ${CMAKE_BINARY_DIR}/ovirConfig.cmake ${CMAKE_BINARY_DIR}/ovirConfigVersion.cmake
          DESTINATION ${library_config} COMPONENT library)
  install(FILES ${CMAKE_BINARY_DIR}/ovir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
          COMPONENT library)
  install(DIRECTORY ${library_folder}/example/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/cpp
          COMPONENT library FILES_MATCHING PATTERN "*.cpp" PATTERN "CMakeLists.txt")
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ovir)
set(CPACK_PACKAGE_CONTACT "Seed 6900fd79 maintainers <maintainers@users.noreply.b-seed-6900fd79.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "language models on several machines, with results to check")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Runs a GGUF model cut over the machines there are, goes on when one of them\n\
 dies, and prints with every answer a digest that is the same everywhere.\n\
 A systemd service answers OpenAI's clients on 127.0.0.1:7380; a small model\n\
 is inside the program.")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_SOURCE_DIR}/build/package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION misc)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
# libcurl is loaded by name (apps/ovir/base/curl_library.cpp), so nothing else would ask for it.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, libcurl4")
# The profile `fast` loads it when it is asked for.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libopenblas0-pthread, ocl-icd-libopencl1, python3 (<< 3.12), python3-numpy")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${package_folder}/postinst;${package_folder}/prerm;${package_folder}/postrm;${package_folder}/triggers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
