// A folder with a binary and a probe in it, as a build leaves them.
#pragma once
#include <filesystem>
#include <string>

namespace test {

// A new one under the system's folder for temporary files; removed at the end.
class Folder {
  public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();

    std::string path(const std::string& name) const { return (path_ / name).string(); }
    void link(const std::string& name, const std::string& to) const { std::filesystem::create_symlink(to, path_ / name); }
    void write(const std::string& name, const std::string& text) const;
    size_t bytes(const std::string& name) const;  // 0 where there is no such file

  private:
    std::filesystem::path path_;
};

}  // namespace test
