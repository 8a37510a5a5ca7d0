// A decoder of one's own in CUDA C++: hidden states and logits never leave the GPU, and a whole step is one CUDA graph.
//
//     nvcc -std=c++17 decoder_step.cu -o decoder_step -lrtd
//
// The "model" knows nothing: it looks a token's hidden state up in a table of random numbers, and its head is random as well. The reference holds
// one sentence, as (hidden state of a token, token that followed). Merged with weight 0.9 the decoder recites that sentence.
#include <cuda_runtime.h>
#include <rtd.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

constexpr int kDim = 256, kVocabulary = 5000;
constexpr int kSentence[] = {17, 4, 2048, 3, 999, 4242, 8, 15, 1606, 2};
constexpr int kLength = sizeof kSentence / sizeof *kSentence;

void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    std::printf("CUDA: %s\n", cudaGetErrorString(error));
    std::exit(1);
}

void check(rtd_status status) {
    if (status == RTD_OK) return;
    std::printf("node-rtd: %s\n", rtd_last_error());
    std::exit(1);
}

// ---- the model ------------------------------------------------------------------------------------------------------------------------

__global__ void lookUp(const float* table, const int* token, float* hidden) {
    hidden[threadIdx.x] = table[static_cast<size_t>(*token) * kDim + threadIdx.x];
}

__global__ void multiplyHead(const float* head, const float* hidden, float* logits) {
    const int v = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (v >= kVocabulary) return;
    float sum = 0;
    for (int i = 0; i < kDim; ++i) sum += head[static_cast<size_t>(i) * kVocabulary + v] * hidden[i];
    logits[v] = sum;
}

// The largest of the logits, by one warp.
__global__ void choose(const float* logits, int* token) {
    int best = static_cast<int>(threadIdx.x);
    for (int v = best; v < kVocabulary; v += 32)
        if (logits[v] > logits[best]) best = v;
    for (int step = 16; step > 0; step /= 2) {
        const int other = __shfl_xor_sync(~0u, best, step);
        if (logits[other] > logits[best] || (logits[other] == logits[best] && other < best)) best = other;
    }
    if (threadIdx.x == 0) *token = best;
}

float* onDevice(const std::vector<float>& values) {
    float* memory = nullptr;
    check(cudaMalloc(&memory, values.size() * sizeof(float)));
    check(cudaMemcpy(memory, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
    return memory;
}

// ---- the reference ----------------------------------------------------------------------------------------------------------------------

rtd_index* remember(const std::vector<float>& table) {
    rtd_index_options options{};
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.backend = "cuda";
    rtd_index* index = nullptr;
    check(rtd_index_create(&options, &index));
    for (int i = 0; i + 1 < kLength; ++i) {
        const rtd_matrix key = {&table[static_cast<size_t>(kSentence[i]) * kDim], 1, kDim, 0, RTD_F32};
        check(rtd_index_add(index, &key, &kSentence[i + 1], nullptr, nullptr));
    }
    return index;
}

rtd_plan* planFor(rtd_index* index, cudaStream_t stream) {
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = 1;
    options.max_k = 4;
    options.vocabulary = kVocabulary;
    options.stream = stream;
    rtd_plan* plan = nullptr;
    check(rtd_plan_create(index, &options, &plan));
    rtd_row_options row{};
    row.struct_size = sizeof row;
    row.k = 4;
    row.reference_weight = 0.9f;
    row.temperature = 1;
    check(rtd_plan_set_rows(plan, &row, 1));
    return plan;
}

int main() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> table(static_cast<size_t>(kVocabulary) * kDim), head(table.size());
    for (float& x : table) x = normal(random);
    for (float& x : head) x = 0.05f * normal(random);

    cudaStream_t stream;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    float *deviceTable = onDevice(table), *deviceHead = onDevice(head), *hidden = onDevice(std::vector<float>(kDim)),
          *logits = onDevice(std::vector<float>(kVocabulary));
    int* token = nullptr;
    check(cudaMalloc(&token, sizeof *token));
    check(cudaMemcpy(token, kSentence, sizeof *token, cudaMemcpyHostToDevice));
    rtd_index* index = remember(table);
    rtd_plan* plan = planFor(index, stream);

    check(cudaDeviceSynchronize());  // a stream of its own does not wait for what the copies above have only begun

    // One step, captured once: whatever could allocate, copy or wait has been done above.
    const rtd_matrix queries = {hidden, 1, kDim, 0, RTD_F32};
    const rtd_mutable_matrix logitMatrix = {logits, 1, kVocabulary, 0, RTD_F32};
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    lookUp<<<1, kDim, 0, stream>>>(deviceTable, token, hidden);
    multiplyHead<<<(kVocabulary + 255) / 256, 256, 0, stream>>>(deviceHead, hidden, logits);
    check(rtd_plan_enqueue(plan, &queries, &logitMatrix, nullptr, nullptr));
    choose<<<1, 32, 0, stream>>>(logits, token);
    cudaGraph_t graph;
    check(cudaStreamEndCapture(stream, &graph));
    cudaGraphExec_t step;
    check(cudaGraphInstantiate(&step, graph, 0));

    int isRight = 1;
    for (int i = 1; i < kLength; ++i) {
        int next = -1;
        check(cudaGraphLaunch(step, stream));
        check(cudaMemcpyAsync(&next, token, sizeof next, cudaMemcpyDeviceToHost, stream));
        check(cudaStreamSynchronize(stream));
        std::printf("%d ", next);
        isRight = isRight && next == kSentence[i];
    }
    std::printf("\n%s\n", isRight ? "recited" : "this is not the sentence");

    check(cudaGraphExecDestroy(step));
    check(cudaGraphDestroy(graph));
    rtd_plan_release(plan);  // before its stream
    rtd_index_release(index);
    check(cudaStreamDestroy(stream));
    for (void* memory : {static_cast<void*>(deviceTable), static_cast<void*>(deviceHead), static_cast<void*>(hidden), static_cast<void*>(logits),
                         static_cast<void*>(token)})
        check(cudaFree(memory));
    return isRight ? 0 : 1;
}
