// While one of these lives, the thread computes as canonical.h expects: round to nearest, denormals kept, no traps. Hosts may have set
// flush-to-zero (audio and machine-learning libraries do); their setting comes back at the end.
#pragma once
#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

namespace rtd {

class FloatEnvironment {
  public:
    FloatEnvironment() : saved_(get()) { set(kDefault); }
    ~FloatEnvironment() { set(saved_); }
    FloatEnvironment(const FloatEnvironment&) = delete;
    FloatEnvironment& operator=(const FloatEnvironment&) = delete;

  private:
#if defined(__x86_64__) || defined(__i386__)
    using Word = uint32_t;
    static constexpr Word kDefault = 0x1f80;  // MXCSR: all exceptions masked
    static Word get() { return _mm_getcsr(); }
    static void set(Word word) { _mm_setcsr(word); }
#elif defined(__aarch64__)
    using Word = uint64_t;
    static constexpr Word kDefault = 0;  // FPCR
    static Word get() {
        Word word;
        __asm__ volatile("mrs %0, fpcr" : "=r"(word));
        return word;
    }
    static void set(Word word) { __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory"); }
#else
#error "node-rtd does not know this processor's floating-point control register"
#endif
    Word saved_;
};

}  // namespace rtd
