// Writes the kernel's files with every fault of faults.h compiled in, each beside the right expression and chosen at run time:
//
//     break_kernel <cuda/> <to> <file> ...
//
// Lines keep their numbers. A fault whose text is not found is left out, and mutants.cpp complains.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "faults.h"

namespace {

std::string broken(std::string text, const std::string& file) {
    for (size_t i = std::size(kFaults); i-- > 0;) {
        const Fault& fault = kFaults[i];
        if (file != fault.file) continue;
        const size_t at = text.find(fault.right, text.find(fault.where));
        if (at == std::string::npos) continue;
        const std::string condition = "(rtd::emulation::device.fault == " + std::to_string(i + 1), right(fault.right), wrong(fault.wrong);
        const std::string choice =
            wrong.empty() ? condition + " ? void() : void(" + right + "))" : condition + " ? (" + wrong + ") : (" + right + "))";
        text.replace(at, right.size(), choice);
    }
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    for (int i = 3; i < argc; ++i) {
        std::ifstream in(std::string(argv[1]) + "/" + argv[i]);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        std::ofstream out(std::string(argv[2]) + "/" + argv[i]);
        out << broken(text, argv[i]);
        if (!in || !out.flush()) {
            std::cerr << "cannot copy " << argv[i] << '\n';
            return 1;
        }
    }
    return 0;
}
