#include "folder.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "../harness.h"

namespace test {

namespace fs = std::filesystem;

Folder::Folder() {
    std::string pattern = (fs::temp_directory_path() / "rtd-gpu-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw Failure("mkdtemp failed");
    path_ = pattern;
}

Folder::~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void Folder::write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }

size_t Folder::bytes(const std::string& name) const {
    std::error_code error;
    const auto size = fs::file_size(path_ / name, error);
    return error ? 0 : static_cast<size_t>(size);
}

}  // namespace test
