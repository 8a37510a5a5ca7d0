// The tap into llama.cpp, for JavaScript: attachments and recorders as resources of the environment.
#pragma once
#include <napi.h>

namespace rtd::napi {

void registerLlama(Napi::Env env, Napi::Object exports);

}  // namespace rtd::napi
