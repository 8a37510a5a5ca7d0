extern "C" [[gnu::visibility("default")]] int rtdTestCallee() { return 1; }
