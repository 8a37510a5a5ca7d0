#include "choice.h"

#include <cstdio>
#include <string>

#include "../core/case.h"

namespace {

void answerCuda() {
    const rtd_backend_info* list;
    size_t count;
    for (int i = 0; i < 2; ++i) CHECK_OK(rtd_backends(&list, &count));
    for (size_t i = 0; i < count; ++i)
        if (std::string(list[i].name) == "cuda")
            std::printf("%s%s: %s\n", list[i].usable ? "usable" : "unusable", list[i].is_default ? ", default" : "", list[i].reason);
}

void answerCreate(const char* backend) {
    const rtd_index_options options = indexOptions(4, RTD_L2, RTD_F32, 1, backend);
    rtd_index* index;
    if (const rtd_status status = rtd_index_create(&options, &index)) {
        std::printf("%s: %s\n", rtd_status_name(status), rtd_last_error());
        return;
    }
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(index, &info));
    std::printf("%s\n", info.backend);
    rtd_index_release(index);
}

void answerLogProbabilities() {
    const float logit = 3;
    const rtd_matrix logits = {&logit, 1, 1, 0, RTD_F32};
    const int32_t token = 0;
    double out = -1;
    CHECK_OK(rtd_log_probabilities(&logits, &token, 1, &out));
    std::printf("%g\n", out);
}

}  // namespace

bool answerChoice(int argc, char** argv) {
    const std::string question = argc > 1 ? argv[1] : "";
    if (question == "--cuda")
        answerCuda();
    else if (question == "--create" && argc == 3)
        answerCreate(argv[2]);
    else if (question == "--log-probabilities")
        answerLogProbabilities();
    else
        return false;
    return true;
}
