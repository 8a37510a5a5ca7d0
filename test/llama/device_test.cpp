// The tap where llama.cpp's memory is a CUDA device's, on the stand-in for llama.cpp with the emulated device as both its device and the reference's:
// merged there or in the host's copy, an application and its listener get the same bits.
#include <cmath>
#include <limits>
#include <optional>
#include <random>

#include "emulation/emulated_device.h"
#include "fake_llama.h"
#include "harness.h"

namespace {

using namespace test;
using rtd::emulation::Elsewhere;

// What llama.cpp's tensors lie in, and what the reference's index is on.
struct Place {
    const char* buffers;  // nullptr: the host's memory
    const char* backend;
};
constexpr Place kOnDevice = {"CUDA0", "cuda-emulated"}, kOnHost = {nullptr, "serial"};

float random01(uint32_t seed) {
    std::minstd_rand random(seed * 7919 + 1);
    random.discard(3);
    return std::uniform_real_distribution<float>()(random);
}

// 200 keys among the hidden states, which are (sequence, position, 0, 1), in three namespaces.
rtd_index* makeIndex(const char* backend, uint32_t heads, const rtd_transform* transform) {
    rtd::emulation::registerEmulatedBackend();
    rtd_index_options options{};
    options.struct_size = sizeof options;
    options.dim = kDim;
    options.heads = heads;
    options.backend = backend;
    options.transform = transform;
    rtd_index* index = nullptr;
    CHECK_EQUAL(rtd_index_create(&options, &index), RTD_OK);
    std::vector<float> keys;
    std::vector<int32_t> tokens;
    std::vector<uint32_t> namespaces;
    for (uint32_t i = 0; i < 200; ++i) {
        for (uint32_t j = 0; j < kDim; ++j) keys.push_back(4 * random01(i * 4 + j));
        tokens.push_back(static_cast<int32_t>(i) % static_cast<int32_t>(kVocabulary));
        namespaces.push_back(i % 3);
    }
    const rtd_matrix matrix{keys.data(), tokens.size(), kDim, 0, RTD_F32};
    CHECK_EQUAL(rtd_index_add(index, &matrix, tokens.data(), namespaces.data(), nullptr), RTD_OK);
    CHECK_EQUAL(rtd_index_seal(index, nullptr), RTD_OK);
    return index;
}

// Three sequences in two micro-batches, in the other order: two with options of their own, one that is off.
struct Decode {
    Batch batch;
    FakeLlama llama;
    OptionTable table;
    uint32_t heads = 1;
    const rtd_transform* transform = nullptr;
    bool isListenedTo = false;
    std::shared_ptr<Recording> recording;
    std::shared_ptr<Attachment> attachment;
    std::vector<Step> steps;

    Decode() {
        batch.add(50, {0, 0}, false);
        batch.add(51, {0, 1}, true);
        batch.add(60, {1, 2}, true);
        batch.add(70, {2, 3}, true);
        llama.micros = {{{3, 2}, nullptr}, {{0, 1}, nullptr}};
        llama.logit = [](RowName name, int64_t v) { return 3 * random01(static_cast<uint32_t>(name.sequence * 100 + v)); };
        RowOptions near, wide, off;
        near.k = 3;
        near.temperature = 0.5F;
        near.namespaces = std::vector<uint32_t>{0, 2};
        wide.k = 40;
        wide.referenceWeight = 0.25F;
        wide.maxDistance = 3.0F;
        off.enabled = false;
        table.sequences = {{0, near}, {1, wide}, {2, off}};
    }

    int32_t run(const Place& place) {
        llama.device = place.buffers != nullptr;
        if (llama.device) llama.buffers = llama.backend = place.buffers;
        rtd_index* index = makeIndex(place.backend, heads, transform);
        attachment = std::make_shared<Attachment>(index, 1, table);
        rtd_index_release(index);
        attachment->steps.listen(isListenedTo);
        const int32_t result = llama.decode(batch, attachedTo(attachment, recording));
        steps = attachment->steps.take(1000);
        return result;
    }
};

void checkSameCounters(const Counters& a, const Counters& b) {
    CHECK_EQUAL(a.rows.load(), b.rows.load());
    CHECK_EQUAL(a.merged.load(), b.merged.load());
    CHECK_EQUAL(a.unchanged.load(), b.unchanged.load());
    CHECK_EQUAL(a.unmergeable.load(), b.unmergeable.load());
}

void checkSame(const Decode& a, const Decode& b) {
    CHECK_EQUAL(a.llama.logits.size(), b.llama.logits.size());
    for (size_t i = 0; i < a.llama.logits.size(); ++i) CHECK_SAME_BITS(a.llama.logits[i], b.llama.logits[i]);
    checkSameCounters(a.attachment->counters, b.attachment->counters);
    CHECK_EQUAL(a.steps.size(), b.steps.size());
    for (size_t i = 0; i < a.steps.size(); ++i) {
        CHECK(a.steps[i].name == b.steps[i].name);
        CHECK_EQUAL(a.steps[i].status, b.steps[i].status);
        CHECK_SAME_BITS(a.steps[i].hidden, b.steps[i].hidden);
        CHECK_SAME_BITS(a.steps[i].logits, b.steps[i].logits);
        CHECK_SAME_BITS(a.steps[i].ids, b.steps[i].ids);
        CHECK_SAME_BITS(a.steps[i].distances, b.steps[i].distances);
        CHECK_SAME_BITS(a.steps[i].tokens, b.steps[i].tokens);
        CHECK_SAME_BITS(a.steps[i].counts, b.steps[i].counts);
    }
}

}  // namespace

TEST("device: rows are merged where they lie, in the order of the micro-batches, and nothing but merged logits is copied") {
    Decode there, here;
    CHECK_EQUAL(there.run(kOnDevice), 0);
    CHECK_EQUAL(here.run(kOnHost), 0);
    checkSame(there, here);
    CHECK_EQUAL(there.attachment->counters.merged.load(), 2U);
    CHECK_EQUAL(there.llama.calls, "scsc");  // of each micro-batch: wait, [merge], the copy, for which llama.cpp waits itself
    std::vector<float> plain;
    for (int64_t v = 0; v < kVocabulary; ++v) plain.push_back(there.llama.logit({2, 3}, v));
    const auto& first = there.llama.logits[0];
    CHECK_SAME_BITS(std::vector<float>(first.begin(), first.begin() + kVocabulary), plain);  // the sequence that is off
}

TEST("device: memory of another backend, or a reference that is not there, is merged in the host's copy") {
    Decode want;
    CHECK_EQUAL(want.run(kOnHost), 0);
    for (const Place place :
         {Place{"Vulkan0", "cuda-emulated"}, Place{"ROCm0", "cuda-emulated"}, Place{"CUDA0", "serial"}, Place{nullptr, "cuda-emulated"}}) {
        Decode decode;
        CHECK_EQUAL(decode.run(place), 0);
        checkSame(decode, want);
        CHECK_EQUAL(decode.llama.calls, place.buffers ? "csrcsr" : "cscs");
    }
}

TEST("device: where another GPU has the logits or the hidden states, without a way between, the host's copy is merged") {
    Decode want;
    CHECK_EQUAL(want.run(kOnHost), 0);
    for (const bool isLogits : {true, false}) {
        Decode decode;
        std::optional<Elsewhere> elsewhere;
        decode.llama.onTensors = [&](const GgmlTensor& hidden, const GgmlTensor& logits) {
            const GgmlTensor& tensor = isLogits ? logits : hidden;
            elsewhere.reset();
            elsewhere.emplace(tensor.data, static_cast<size_t>(tensor.elements[1]) * tensor.strides[1]);
        };
        CHECK_EQUAL(decode.run(kOnDevice), 0);
        checkSame(decode, want);
        CHECK_EQUAL(decode.llama.calls, "csrcsr");
    }
}

TEST("device: a listener is told the same, weight 0 and heads included") {
    for (const uint32_t heads : {1U, 2U}) {
        Decode there, here;
        for (Decode* decode : {&there, &here}) {
            decode->heads = heads;
            decode->isListenedTo = true;
            RowOptions listened;
            listened.k = 5;
            listened.referenceWeight = 0;
            decode->table.sequences[2] = listened;
        }
        CHECK_EQUAL(there.run(kOnDevice), 0);
        CHECK_EQUAL(here.run(kOnHost), 0);
        checkSame(there, here);
        CHECK_EQUAL(there.steps.size(), 3U);
        CHECK_EQUAL(there.llama.calls, "csrcsr");  // figures are taken of the host's copy
    }
}

TEST("device: a row whose hidden state is not finite stays as it was, with a listener and without") {
    for (const bool isListenedTo : {false, true}) {
        Decode there, here;
        for (Decode* decode : {&there, &here}) {
            decode->heads = 2;
            decode->isListenedTo = isListenedTo;
            decode->llama.hidden = [](RowName name, int64_t i) {
                return name.sequence == 1 && i == 3 ? std::numeric_limits<float>::infinity() : static_cast<float>(name.position);
            };
        }
        CHECK_EQUAL(there.run(kOnDevice), 0);
        CHECK_EQUAL(here.run(kOnHost), 0);
        checkSame(there, here);
        CHECK_EQUAL(there.attachment->counters.unmergeable.load(), 1U);
        CHECK_EQUAL(there.attachment->counters.merged.load(), 1U);
    }
}

TEST("device: what is recorded in the same batch is the model's own") {
    Decode there, here;
    for (Decode* decode : {&there, &here}) decode->recording = std::make_shared<Recording>(0, 0, 2, kDim, kVocabulary);
    CHECK_EQUAL(there.run(kOnDevice), 0);
    CHECK_EQUAL(here.run(kOnHost), 0);
    checkSame(there, here);
    CHECK(there.recording->complete());
    CHECK_SAME_BITS(there.recording->hidden(), here.recording->hidden());
    CHECK_SAME_BITS(there.recording->logits(), here.recording->logits());
    CHECK_EQUAL(there.recording->logits()[3], there.llama.logit({0, 0}, 3));
    CHECK_EQUAL(there.attachment->counters.merged.load(), 1U);
}

TEST("device: rows are merged where they lie through an index's transform, too") {
    constexpr uint32_t kImage = 3;
    std::vector<float> mean, weights;
    for (uint32_t i = 0; i < kDim; ++i) mean.push_back(random01(1000 + i));
    for (uint32_t i = 0; i < kImage * kDim; ++i) weights.push_back(random01(2000 + i) - 0.5F);
    const rtd_transform matrix{sizeof(rtd_transform), RTD_TRANSFORM_MATRIX, kDim, kImage, mean.data(), weights.data()};
    Decode there, here;
    there.transform = here.transform = &matrix;
    CHECK_EQUAL(there.run(kOnDevice), 0);
    CHECK_EQUAL(here.run(kOnHost), 0);
    checkSame(there, here);
    CHECK_EQUAL(there.attachment->counters.merged.load(), 2U);
    CHECK_EQUAL(there.llama.calls, "scsc");
}

TEST("device: more rows than one launch takes") {
    Decode there, here;
    for (Decode* decode : {&there, &here}) {
        decode->batch = {};
        decode->llama.micros = {{{}, nullptr}};
        for (int32_t i = 0; i < 70; ++i) {
            decode->batch.add(50 + i, {i % 3, i}, true);
            decode->llama.micros[0].members.push_back(69 - i);
        }
    }
    CHECK_EQUAL(there.run(kOnDevice), 0);
    CHECK_EQUAL(here.run(kOnHost), 0);
    checkSame(there, here);
    CHECK_EQUAL(there.llama.calls, "sc");
}

TEST("device: rows with a bias are merged in the host's copy") {
    Decode there, here;
    for (Decode* decode : {&there, &here}) {
        RowOptions& biased = decode->table.sequences[1];
        biased.biasTokens = {7, 2};
        biased.biasValues = {2.5F, -1};
    }
    CHECK_EQUAL(there.run(kOnDevice), 0);
    CHECK_EQUAL(here.run(kOnHost), 0);
    checkSame(there, here);
    CHECK_EQUAL(there.attachment->counters.merged.load(), 2U);
    CHECK_EQUAL(there.llama.calls, "csrsc");  // the micro-batch without one is merged where it lies
}
