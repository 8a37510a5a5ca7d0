extern "C" int rtdTestCallee();
extern "C" [[gnu::visibility("default")]] int rtdTestCaller() { return rtdTestCallee(); }
