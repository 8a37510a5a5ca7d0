// A small test runner: cases by name, checks that print the values they compare, one summary line.
//
//     TEST("adds numbers") { CHECK_EQUAL(add(1, 2), 3); }
//     int main(int argc, char** argv) { return test::runAll(argc, argv); }
//
// Arguments are parts of names: only cases that contain one of them run. The last line is "N passed, N failed".
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace test {

struct Case {
    std::string name;
    std::function<void()> body;
};

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

struct Registration {
    Registration(std::string name, std::function<void()> body) { cases().push_back({std::move(name), std::move(body)}); }
};

// What ends a case that failed.
struct Failure : std::exception {
    explicit Failure(std::string what_) : text(std::move(what_)) {}
    const char* what() const noexcept override { return text.c_str(); }
    std::string text;
};

template <typename T>
std::string show(const T& value) {
    std::ostringstream out;
    out.precision(17);
    if constexpr (std::is_enum_v<T>)
        out << static_cast<long long>(value);
    else if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<T, int8_t>)
        out << static_cast<int>(value);
    else if constexpr (std::is_same_v<T, std::nullptr_t>)
        out << "null";
    else
        out << value;
    return out.str();
}

[[noreturn]] inline void fail(const char* file, int line, const std::string& text) {
    throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + text);
}

template <typename A, typename B>
void checkEqual(const A& a, const B& b, const char* textA, const char* textB, const char* file, int line) {
    bool isEqual;
    if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> && !std::is_same_v<B, bool>)
        isEqual = std::cmp_equal(a, b);
    else
        isEqual = a == b;
    if (!isEqual) fail(file, line, std::string(textA) + " is " + show(a) + ", " + textB + " is " + show(b));
}

// Bit for bit, so that -0 is not 0 and a NaN is itself.
template <typename T>
void checkSameBits(const std::vector<T>& a, const std::vector<T>& b, const char* textA, const char* textB, const char* file, int line) {
    if (a.size() != b.size()) fail(file, line, std::string(textA) + " has " + show(a.size()) + " elements, " + textB + " has " + show(b.size()));
    for (size_t i = 0; i < a.size(); ++i)
        if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0)
            fail(file, line,
                 std::string(textA) + "[" + std::to_string(i) + "] is " + show(a[i]) + ", " + textB + "[" + std::to_string(i) + "] is " + show(b[i]));
}

// Where everything is slow, tests that try many settings take a sample of them: under sanitizers, and for ARM, which CI emulates.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__aarch64__)
constexpr bool kIsSlow = true;
#else
constexpr bool kIsSlow = false;
#endif

// A case that takes longer is named with its time: where a run's time goes.
constexpr double slowSeconds = 10;

// Runs the cases whose names contain one of the arguments, or all. 0 if none failed.
inline int runAll(int argc, char** argv) {
    int passed = 0, failed = 0;
    for (const Case& c : cases()) {
        bool isWanted = argc < 2;
        for (int i = 1; i < argc; ++i) isWanted = isWanted || c.name.find(argv[i]) != std::string::npos;
        if (!isWanted) continue;
        const auto started = std::chrono::steady_clock::now();
        try {
            c.body();
            ++passed;
        } catch (const std::exception& error) {
            ++failed;
            std::printf("FAILED %s\n    %s\n", c.name.c_str(), error.what());
        }
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
        if (taken.count() >= slowSeconds) std::printf("slow   %6.1f s  %s\n", taken.count(), c.name.c_str());
        std::fflush(stdout);
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

}  // namespace test

#define TEST_JOIN_(a, b) a##b
#define TEST_JOIN(a, b) TEST_JOIN_(a, b)
#define TEST(name)                                                                                              \
    static void TEST_JOIN(testBody, __LINE__)();                                                                \
    static const test::Registration TEST_JOIN(testRegistration, __LINE__)(name, TEST_JOIN(testBody, __LINE__)); \
    static void TEST_JOIN(testBody, __LINE__)()

#define CHECK(condition)                                              \
    do {                                                              \
        if (!(condition)) test::fail(__FILE__, __LINE__, #condition); \
    } while (false)
#define CHECK_EQUAL(a, b) test::checkEqual(a, b, #a, #b, __FILE__, __LINE__)
#define CHECK_SAME_BITS(a, b) test::checkSameBits(a, b, #a, #b, __FILE__, __LINE__)
