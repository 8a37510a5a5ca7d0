// The back end that backend_test.cpp tests; each program that links it has its own.
#pragma once

const char* testedBackend();  // known by this name once it has returned
