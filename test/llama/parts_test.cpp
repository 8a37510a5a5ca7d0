// The tap's parts on their own: names of rows, tensors of a graph, the queue of steps, merging.
#include <cmath>
#include <cstring>
#include <limits>

#include "fake_llama.h"
#include "harness.h"
#include "llama/merge.h"
#include "llama/row_names.h"

namespace {

using namespace test;

// Sequences of 3 and 2 tokens; a micro-batch that holds all of them, the second sequence first.
struct Named {
    Batch batch;
    std::vector<int32_t> tokens{60, 61, 50, 51, 52}, positions{0, 1, 0, 1, 2}, counts{1, 1, 1, 1, 1}, sequences{1, 1, 0, 0, 0};
    std::vector<int32_t*> pointers;
    std::vector<int8_t> outputs{0, 1, 0, 0, 1};

    Named() {
        for (int32_t i = 0; i < 3; ++i) batch.add(50 + i, {0, i}, i == 2);
        for (int32_t i = 0; i < 2; ++i) batch.add(60 + i, {1, i}, i == 1);
        for (int32_t& sequence : sequences) pointers.push_back(&sequence);
    }
    MicroBatch micro() {
        MicroBatch view{};
        view.tokenCount = static_cast<uint32_t>(tokens.size());
        view.tokens = tokens.data();
        view.positions = positions.data();
        view.sequenceCounts = counts.data();
        view.sequences = pointers.data();
        view.outputs = outputs.data();
        return view;
    }
    auto names() { return nameRows(micro(), batch.view()); }
};

bool refused(const Functions& functions, GgmlGraph* graph) {
    try {
        findTensors(functions, graph, {kDim, kVocabulary});
        return false;
    } catch (const rtd::Error& error) { return error.status == RTD_UNSUPPORTED; }
}

GgmlTensor tensor(int64_t columns, int64_t rows, int32_t flags, float* data) {
    GgmlTensor made{};
    made.elements[0] = columns;
    made.elements[1] = rows;
    made.elements[2] = made.elements[3] = 1;
    made.strides[0] = sizeof(float);
    made.strides[1] = static_cast<size_t>(columns) * sizeof(float);
    made.flags = flags;
    made.data = data;
    return made;
}

}  // namespace

TEST("names: rows are named by the micro-batch, in its order") {
    Named named;
    const auto names = named.names();
    CHECK(names && *names == (std::vector<RowName>{{1, 1}, {0, 2}}));
}

TEST("names: a micro-batch that disagrees with its batch names nothing") {
    const std::vector<std::function<void(Named&)>> spoilers = {
        [](Named& n) { n.tokens[4] = 99; },       // another token
        [](Named& n) { n.positions[4] = 9; },     // a position that is not there
        [](Named& n) { n.sequences[4] = 1; },     // another sequence
        [](Named& n) { n.counts[4] = 2; },        // in two sequences
        [](Named& n) { n.outputs[0] = 1; },       // an output that was not asked for
        [](Named& n) { n.tokens.resize(6, 0); },  // more tokens than the batch has
        [](Named& n) { n.tokens.clear(); },       // none
        [](Named& n) { n.pointers[4] = nullptr; },
    };
    for (size_t i = 0; i < spoilers.size(); ++i) {
        Named named;
        spoilers[i](named);
        if (named.names().has_value()) test::fail(__FILE__, __LINE__, "spoiler " + std::to_string(i) + " was not noticed");
    }
    Named named;
    MicroBatch micro = named.micro();
    micro.positions = nullptr;
    CHECK(!nameRows(micro, named.batch.view()).has_value());
}

TEST("graph: the hidden states are the logits' nearest ancestor that is an output of the right shape") {
    struct Graph {
        std::vector<GgmlTensor*> nodes;
    };
    float data[32] = {};
    GgmlTensor early = tensor(kDim, 2, kTensorFlagOutput, data);  // an output further away
    GgmlTensor hidden = tensor(kDim, 2, kTensorFlagOutput, data);
    GgmlTensor scaled = tensor(kDim, 2, 0, data);
    GgmlTensor weights = tensor(kDim, kVocabulary, 0, data);
    GgmlTensor product = tensor(kVocabulary, 2, 0, data);
    GgmlTensor logits = tensor(kVocabulary, 2, kTensorFlagOutput, data);
    hidden.sources[0] = &early;
    scaled.sources[0] = &hidden;
    product.sources[0] = &weights;
    product.sources[1] = &scaled;
    logits.sources[0] = &product;
    Graph graph{{&early, &hidden, &scaled, &product, &logits, &weights}};
    auto* handle = reinterpret_cast<GgmlGraph*>(&graph);
    FakeLlama llama;
    Functions functions = llama.functions();

    const GraphTensors found = findTensors(functions, handle, {kDim, kVocabulary});
    CHECK(found.logits == &logits && found.hidden == &hidden);

    hidden.elements[1] = 3;  // not the rows of the logits: the one further away has them
    CHECK(findTensors(functions, handle, {kDim, kVocabulary}).hidden == &early);
    early.flags = 0;
    CHECK(refused(functions, handle));
    hidden.elements[1] = 2;
    hidden.type = 1;
    CHECK(refused(functions, handle));
    hidden.type = kGgmlF32;
    hidden.strides[1] += 4;  // rows apart
    CHECK(refused(functions, handle));
    hidden.strides[1] -= 4;
    functions.tensorData = [](const GgmlTensor*) -> void* { return nullptr; };  // a layout that is not the mirror's
    CHECK(refused(functions, handle));
    functions = llama.functions();
    logits.flags = 0;
    CHECK(refused(functions, handle));
}

TEST("steps: the queue keeps the oldest within its bounds and counts the rest") {
    StepQueue queue;
    const auto push = [&](int32_t position, size_t floats) {
        queue.push(floats * sizeof(float), [&] {
            Step step;
            step.name = {0, position};
            step.logits.resize(floats);
            return step;
        });
    };
    const size_t third = StepQueue::kMaxBytes / sizeof(float) / 3 - 1024;
    for (int32_t i = 0; i < 5; ++i) push(i, third);
    CHECK_EQUAL(queue.dropped(), 2U);
    CHECK_EQUAL(queue.take(1)[0].name.position, 0);
    push(5, third);
    const auto rest = queue.take(10);
    CHECK_EQUAL(rest.size(), 3U);
    CHECK_EQUAL(rest[2].name.position, 5);
    push(6, 2 * StepQueue::kMaxBytes / sizeof(float));  // one that is too large on its own still comes through
    CHECK_EQUAL(queue.take(10).size(), 1U);
    for (size_t i = 0; i < StepQueue::kMaxSteps + 3; ++i) push(7, 1);
    CHECK_EQUAL(queue.dropped(), 5U);
}

TEST("merge: a row that is switched off, recorded or broken stays as it was; the others are merged") {
    rtd_index* index = indexOf({3});
    Attachment attachment(index, 1, {});
    rtd_index_release(index);
    attachment.steps.listen(true);
    RowOptions on, off;
    on.referenceWeight = 1;
    off.enabled = false;
    const std::vector<const RowOptions*> options{&on, &off, nullptr, &on};
    const std::vector<RowName> names{{0, 0}, {1, 0}, {2, 0}, {3, 0}};
    std::vector<float> hidden(4 * kDim, 0.0F);
    hidden[3 * kDim] = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> logits(4 * kVocabulary, 0.0F);
    Merge merge(attachment, names, options, {kDim, kVocabulary});
    merge.run(hidden.data(), logits.data());
    merge.tell(hidden.data(), logits.data());
    std::vector<float> expected(4 * kVocabulary, 0.0F);
    for (size_t v = 0; v < kVocabulary; ++v) expected[v] = v == 3 ? 0.0F : -std::numeric_limits<float>::infinity();
    CHECK_SAME_BITS(logits, expected);
    CHECK_EQUAL(attachment.counters.merged.load(), 1U);
    CHECK_EQUAL(attachment.counters.unmergeable.load(), 1U);
    const auto steps = attachment.steps.take(10);
    CHECK_EQUAL(steps.size(), 2U);
    CHECK(steps[0].status == RTD_ROW_MERGED && steps[1].status == RTD_ROW_UNMERGEABLE);
    CHECK_EQUAL(steps[0].tokens[0], 3);
    CHECK_SAME_BITS(steps[0].logits, std::vector<float>(expected.begin(), expected.begin() + kVocabulary));
    CHECK_SAME_BITS(steps[1].logits, std::vector<float>(kVocabulary, 0.0F));
    CHECK_SAME_BITS(steps[1].hidden, std::vector<float>(hidden.end() - kDim, hidden.end()));
    CHECK_EQUAL(steps[0].ids.size(), 16U);
    CHECK_SAME_BITS(steps[0].counts, (std::vector<uint32_t>{1}));
}
