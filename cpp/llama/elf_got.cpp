#include "llama/elf_got.h"

#include <cstring>
#include <utility>

#if defined(__linux__) && defined(__LP64__)
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>

#include "core/status.h"

namespace rtd::llama {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT;
#elif defined(__aarch64__)
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT;
#else
constexpr uint32_t kJumpSlot = UINT32_MAX;  // no relocation has this number: nothing is ever found
#endif

// The parts of a dynamic section that name what a module calls. glibc has already relocated these pointers, musl has not: both are understood.
struct DynamicView {
    const ElfW(Rela) * jumps = nullptr;
    size_t jumpBytes = 0;
    const ElfW(Sym) * symbols = nullptr;
    const char* strings = nullptr;
    size_t soname = 0;

    explicit DynamicView(const Module& module) {
        const auto pointer = [&](ElfW(Addr) value) { return value < module.base ? module.base + value : value; };
        for (auto* entry = static_cast<const ElfW(Dyn)*>(module.dynamic); entry->d_tag != DT_NULL; ++entry) {
            switch (entry->d_tag) {
                case DT_JMPREL:
                    jumps = reinterpret_cast<const ElfW(Rela)*>(pointer(entry->d_un.d_ptr));
                    break;
                case DT_PLTRELSZ:
                    jumpBytes = entry->d_un.d_val;
                    break;
                case DT_SYMTAB:
                    symbols = reinterpret_cast<const ElfW(Sym)*>(pointer(entry->d_un.d_ptr));
                    break;
                case DT_STRTAB:
                    strings = reinterpret_cast<const char*>(pointer(entry->d_un.d_ptr));
                    break;
                case DT_SONAME:
                    soname = entry->d_un.d_val;
                    break;
                default:
                    break;
            }
        }
    }
};

// The protection of the page that holds an address, from /proc/self/maps; -1 if it is not there.
int protectionOf(const void* address) {
    FILE* maps = std::fopen("/proc/self/maps", "re");
    if (maps == nullptr) return -1;
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    int protection = -1;
    char line[512];
    while (protection < 0 && std::fgets(line, sizeof line, maps) != nullptr) {
        uintptr_t begin = 0;
        uintptr_t end = 0;
        char flags[5] = {};
        if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &begin, &end, flags) != 3 || wanted < begin || wanted >= end) continue;
        protection = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) | (flags[2] == 'x' ? PROT_EXEC : 0);
    }
    std::fclose(maps);
    return protection;
}

// Stores into a slot. Slots are writable by design (forcing them read-only afterwards would break lazy binding), so the protection changes only
// where somebody has hardened the page, and goes back to what it was.
void store(std::atomic<void*>* slot, void* value) {
    const int protection = protectionOf(slot);
    if (protection < 0 || (protection & PROT_WRITE) != 0) {
        slot->store(value);
        return;
    }
    const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    auto* page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(slot) & ~(size - 1));
    if (mprotect(page, size, protection | PROT_WRITE) != 0)
        fail(RTD_UNSUPPORTED, "the table of llama.cpp's calls lies in memory that cannot be made writable (%s)", std::strerror(errno));
    slot->store(value);
    mprotect(page, size, protection);
}

}  // namespace

std::vector<Module> loadedModules() {
    std::vector<Module> modules;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* list) {
            if (info->dlpi_name == nullptr || *info->dlpi_name == '\0') return 0;
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
                const void* dynamic = reinterpret_cast<const void*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
                static_cast<std::vector<Module>*>(list)->push_back({info->dlpi_name, info->dlpi_addr, dynamic});
            }
            return 0;
        },
        &modules);
    return modules;
}

Module moduleOf(const void* address) {
    Dl_info info{};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
    for (auto& module : loadedModules())
        if (module.path == info.dli_fname) return module;
    return {};
}

std::string sonameOf(const Module& module) {
    const DynamicView view(module);
    return view.soname != 0 && view.strings != nullptr ? view.strings + view.soname : "";
}

std::atomic<void*>* findSlot(const Module& module, const char* symbol) {
    const DynamicView view(module);
    if (view.jumps == nullptr || view.symbols == nullptr || view.strings == nullptr) return nullptr;
    for (size_t i = 0; i < view.jumpBytes / sizeof(ElfW(Rela)); ++i) {
        const auto& jump = view.jumps[i];
        if (ELF64_R_TYPE(jump.r_info) != kJumpSlot) continue;
        if (std::strcmp(view.strings + view.symbols[ELF64_R_SYM(jump.r_info)].st_name, symbol) == 0)
            return reinterpret_cast<std::atomic<void*>*>(module.base + jump.r_offset);
    }
    return nullptr;
}

void Redirection::redirect() {
    if (inPlace()) return;
    found_ = slot_->load();
    store(slot_, hook_);
}

void Redirection::restore() noexcept {
    if (found_ == nullptr) return;
    try {
        if (inPlace()) store(slot_, found_);
    } catch (...) {  // the page was writable when the hook went in
    }
    found_ = nullptr;
}

}  // namespace rtd::llama

#else  // another binary format: nothing is found, so nothing can be redirected

namespace rtd::llama {

std::vector<Module> loadedModules() { return {}; }
Module moduleOf(const void*) { return {}; }
std::string sonameOf(const Module&) { return {}; }
std::atomic<void*>* findSlot(const Module&, const char*) { return nullptr; }
void Redirection::redirect() {}
void Redirection::restore() noexcept {}

}  // namespace rtd::llama

#endif

namespace rtd::llama {

Redirection& Redirection::operator=(Redirection&& other) noexcept {
    if (this == &other) return *this;
    restore();
    slot_ = std::exchange(other.slot_, nullptr);
    hook_ = std::exchange(other.hook_, nullptr);
    found_ = std::exchange(other.found_, nullptr);
    return *this;
}

}  // namespace rtd::llama
