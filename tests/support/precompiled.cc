// The one file of the library whose precompiled headers all tests share (tests/CMakeLists.txt).
