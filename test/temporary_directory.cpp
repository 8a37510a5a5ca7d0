#include "temporary_directory.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "harness.h"

namespace test {

TemporaryDirectory::TemporaryDirectory() : path_((std::filesystem::temp_directory_path() / "rtd-test-XXXXXX").string()) {
    if (!::mkdtemp(path_.data())) fail(__FILE__, __LINE__, "mkdtemp " + path_);
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string readFile(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) fail(__FILE__, __LINE__, "cannot read " + path);
    return {std::istreambuf_iterator<char>(in), {}};
}

void writeFile(const std::string& path, const std::string& content) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << content;
    if (!out.flush()) fail(__FILE__, __LINE__, "cannot write " + path);
}

}  // namespace test
