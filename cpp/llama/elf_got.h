// Redirecting calls between shared objects that are already loaded: the lazy-binding slots of an ELF module's global offset table.
//
// A call from one object to another goes through a slot that the dynamic linker fills when the call is first made (relocations R_X86_64_JUMP_SLOT,
// R_AARCH64_JUMP_SLOT). Without BIND_NOW these slots stay writable for the life of the process, so one pointer-sized store redirects the call and
// another puts it back. Nothing of the callee is touched, and no other module notices.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace rtd::llama {

// One loaded object, as the dynamic linker sees it.
struct Module {
    std::string path;
    uintptr_t base = 0;             // load bias
    const void* dynamic = nullptr;  // its dynamic section

    std::string fileName() const { return path.substr(path.rfind('/') + 1); }
};

// Every object with a name and a dynamic section; empty where the platform's binaries are not ELF.
std::vector<Module> loadedModules();

// The loaded object that holds an address; nullptr in `dynamic` if none does.
Module moduleOf(const void* address);

// What the module was linked as (DT_SONAME), "" if it does not say.
std::string sonameOf(const Module& module);

// The slot through which `module` calls `symbol`, nullptr if it does not call it, or not through a lazy-binding slot.
std::atomic<void*>* findSlot(const Module& module, const char* symbol);

// A slot held on to. Does nothing until redirect(); restore() and the destructor put back what was found, unless somebody else has written to
// the slot in the meantime. One thread at a time.
class Redirection {
  public:
    Redirection() = default;
    Redirection(std::atomic<void*>* slot, void* hook) : slot_(slot), hook_(hook) {}
    Redirection(const Redirection&) = delete;
    Redirection& operator=(const Redirection&) = delete;
    Redirection(Redirection&& other) noexcept { *this = std::move(other); }
    Redirection& operator=(Redirection&& other) noexcept;
    ~Redirection() { restore(); }

    // Writes the hook. Also called to write it once more: another thread that was resolving the symbol just then may have overwritten it.
    void redirect();
    bool inPlace() const { return slot_ != nullptr && slot_->load() == hook_; }
    void restore() noexcept;

  private:
    std::atomic<void*>* slot_ = nullptr;
    void* hook_ = nullptr;
    void* found_ = nullptr;  // what the slot held before; nullptr while not redirected
};

}  // namespace rtd::llama
