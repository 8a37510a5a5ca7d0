// One decode through the tap, on a stand-in for llama.cpp: what is merged, recorded, refused and left behind.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "fake_llama.h"
#include "harness.h"

namespace {

using namespace test;

RowOptions nearest(float weight = 1) {
    RowOptions options;
    options.k = 1;
    options.referenceWeight = weight;
    options.temperature = 1;
    return options;
}

RowOptions only(uint32_t space, float weight = 1) {
    RowOptions options = nearest(weight);
    options.namespaces = std::vector<uint32_t>{space};
    return options;
}

// Takes the index over.
std::shared_ptr<Attachment> attachTo(rtd_index* index, OptionTable table, bool isRuled, const char* layer) {
    auto attachment = std::make_shared<Attachment>(index, 1, std::move(table), isRuled, layer);
    rtd_index_release(index);
    return attachment;
}

std::shared_ptr<Attachment> attach(const std::vector<int32_t>& tokens, OptionTable table, bool isRuled = false) {
    return attachTo(indexOf(tokens), std::move(table), isRuled, "");
}

// Two sequences, each with its own answer; the micro-batches come in the other order.
struct TwoSequences {
    Batch batch;
    FakeLlama llama;
    OptionTable table;

    TwoSequences() {
        batch.add(50, {0, 0}, false);
        batch.add(51, {0, 1}, true);
        batch.add(60, {1, 7}, true);
        llama.micros = {{{2}, nullptr}, {{0, 1}, nullptr}};
        table.sequences = {{0, only(0)}, {1, only(1)}};
    }
};

size_t winner(const std::vector<float>& logits) {
    size_t best = 0;
    for (size_t i = 0; i < logits.size(); ++i)
        if (logits[i] > logits[best]) best = i;
    return best;
}

// A pointer that leads elsewhere, as with another layout.
void loseToken(MicroBatch& micro) {
    static int32_t tokens[] = {1, 2, 3};
    micro.tokens = tokens;
}

}  // namespace

TEST("decode: each row is merged by its own sequence's options, in the order of the micro-batches") {
    TwoSequences two;
    const auto attachment = attach({3, 4}, two.table);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), 0);
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
    CHECK_EQUAL(winner(two.llama.logits[1]), 3U);
    CHECK_EQUAL(attachment->counters.merged.load(), 2U);
    CHECK(DecodeRun::current() == nullptr);
}

TEST("decode: device memory is read by ggml's own copy, and the host's copy of the logits is merged") {
    TwoSequences two;
    two.llama.device = true;
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attach({3, 4}, two.table))), 0);
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
    CHECK_EQUAL(two.llama.deviceReads, 2);
    CHECK_EQUAL(two.llama.copies, 2);
}

TEST("decode: rows that cannot be named are refused if sequences differ in their options") {
    TwoSequences two;
    two.llama.micros[1].spoil = loseToken;
    const auto attachment = attach({3, 4}, two.table);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), kDecodeFailed);
    const auto failure = attachment->failure.take();
    CHECK(failure && failure->status == RTD_UNSUPPORTED && failure->message.find("same options") != std::string::npos);
    CHECK_EQUAL(attachment->counters.failures.load(), 1U);
    // Nothing of the batch stays in the context's memory.
    CHECK(two.llama.removed == (std::vector<RowName>{{0, 0}, {1, 7}}));
}

TEST("decode: rows that cannot be named are merged if all sequences have the same options") {
    TwoSequences two;
    two.llama.micros[0].spoil = two.llama.micros[1].spoil = loseToken;
    two.table = {only(1), {}};
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attach({3, 4}, two.table))), 0);
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
    CHECK_EQUAL(winner(two.llama.logits[1]), 4U);
}

TEST("decode: a graph without hidden states fails before it is computed, and says why") {
    TwoSequences two;
    two.llama.named = false;
    const auto attachment = attach({3, 4}, two.table);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), kDecodeFailed);
    CHECK_EQUAL(two.llama.computedNodes, 0);
    CHECK(attachment->failure.take()->message.find("hidden state") != std::string::npos);
    CHECK(!attachment->failure.take().has_value());
}

TEST("decode: a model split by tensors over devices is refused") {
    TwoSequences two;
    two.llama.backend = "Meta(CUDA0,CUDA1)";
    const auto attachment = attach({3, 4}, two.table);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), kDecodeFailed);
    CHECK(attachment->failure.take()->message.find("SPLIT_MODE_TENSOR") != std::string::npos);
}

TEST("decode: a reference that cannot be merged fails before anything is computed") {
    TwoSequences two;
    const auto range = attach({3, kVocabulary}, two.table);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(range)), kDecodeFailed);
    CHECK_EQUAL(range->failure.take()->status, RTD_TOKEN_RANGE);
    CHECK(two.llama.outputsSeen.empty() && two.llama.removed.empty());
}

TEST("decode: weight 0 without a listener passes everything through") {
    TwoSequences two;
    two.table = {only(0, 0), {}};
    two.llama.named = false;  // would be refused if anybody looked
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attach({3, 4}, two.table))), 0);
    CHECK_SAME_BITS(two.llama.logits[0], std::vector<float>(kVocabulary, 0.0F));
}

TEST("decode: what llama.cpp throws goes on to its caller, and the run ends") {
    TwoSequences two;
    two.llama.throws = true;
    const auto recording = std::make_shared<Recording>(0, 0, 1, kDim, 0);
    bool thrown = false;
    try {
        two.llama.decode(two.batch, attachedTo(attach({3, 4}, two.table), recording));
    } catch (const std::runtime_error&) { thrown = true; }
    CHECK(thrown && DecodeRun::current() == nullptr);
    CHECK(two.batch.outputs == (std::vector<int8_t>{0, 1, 1}));
}

TEST("rule: rows are searched and left as they are, and merged where they lie once they are decided") {
    TwoSequences two;
    const auto attachment = attach({3, 4}, two.table, true);
    attachment->steps.listen(true);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), 0);
    for (const std::vector<float>& logits : two.llama.logits) CHECK_SAME_BITS(logits, std::vector<float>(kVocabulary, 0.0F));
    CHECK_EQUAL(attachment->counters.rows.load(), 0U);
    CHECK(attachment->steps.take(9).empty());

    UndecidedBatch batch = attachment->undecided.take();
    CHECK(batch.firstPositions == (std::map<int32_t, int32_t>{{0, 0}, {1, 7}}));
    CHECK_EQUAL(batch.rows.size(), 2U);
    for (size_t i = 0; i < 2; ++i) batch.rows[i].logits = two.llama.logits[i].data();  // the stand-in has moved them
    CHECK(batch.rows[0].step.name == (RowName{1, 7}) && batch.rows[1].step.name == (RowName{0, 1}));
    CHECK_EQUAL(batch.rows[0].step.figures.reference_weight, 1);
    settle(*attachment, kVocabulary, batch.rows[0], {0.5F, 2.0F});
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
    CHECK(std::isfinite(two.llama.logits[0][0]));  // weight 1 would have left nothing
    const std::vector<Step> steps = attachment->steps.take(9);
    CHECK_EQUAL(steps.size(), 1U);
    CHECK_EQUAL(steps[0].figures.reference_weight, 0.5);
    CHECK_EQUAL(steps[0].figures.temperature, 2);
    CHECK_SAME_BITS(steps[0].logits, two.llama.logits[0]);
    CHECK_EQUAL(attachment->counters.merged.load(), 1U);
}

TEST("rule: a row that is not where it was is not touched") {
    TwoSequences two;
    const auto attachment = attach({3, 4}, two.table, true);
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), 0);
    UndecidedBatch batch = attachment->undecided.take();
    std::vector<float> other(kVocabulary, 1.0F);
    batch.rows[0].logits = other.data();
    rtd_status status = RTD_OK;
    try {
        settle(*attachment, kVocabulary, batch.rows[0], {});
    } catch (const rtd::Error& error) { status = error.status; }
    CHECK_EQUAL(status, RTD_UNSUPPORTED);
    CHECK_SAME_BITS(other, std::vector<float>(kVocabulary, 1.0F));
}

TEST("rule: what nobody has taken of a decode is dropped by the next, and nobody is asked about a broken row") {
    TwoSequences two;
    two.llama.hidden = [](RowName name, int64_t) { return name.sequence == 1 ? std::numeric_limits<float>::quiet_NaN() : 0.0F; };
    const auto attachment = attach({3, 4}, two.table, true);
    for (int i = 0; i < 2; ++i) {
        two.llama.logits.clear();
        CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), 0);
    }
    UndecidedBatch batch = attachment->undecided.take();
    CHECK_EQUAL(batch.rows.size(), 2U);
    CHECK(batch.rows[0].isBroken && !batch.rows[1].isBroken);
    batch.rows[0].logits = two.llama.logits[0].data();
    settle(*attachment, kVocabulary, batch.rows[0], {});
    CHECK_EQUAL(attachment->counters.unmergeable.load(), 1U);
    CHECK_SAME_BITS(two.llama.logits[0], std::vector<float>(kVocabulary, 0.0F));
}

TEST("recording: tokens are outputs for one decode, the graph ends after the hidden states, and nothing is copied") {
    Batch batch;
    for (int32_t i = 0; i < 4; ++i) batch.add(50 + i, {0, i}, false);
    FakeLlama llama;
    llama.micros = {{{0, 1}, nullptr}, {{2, 3}, nullptr}};
    const auto recording = std::make_shared<Recording>(0, 1, 3, kDim, 0);
    CHECK_EQUAL(llama.decode(batch, attachedTo(nullptr, recording)), 0);
    CHECK(llama.outputsSeen[0] == (std::vector<int8_t>{0, 1, 1, 1}));
    CHECK(batch.outputs == (std::vector<int8_t>{0, 0, 0, 0}));
    CHECK(recording->complete());
    CHECK_SAME_BITS(recording->hidden(), (std::vector<float>{0, 1, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1}));
    CHECK_EQUAL(llama.computedNodes, 2);
    CHECK_EQUAL(llama.copies, 0);
}

TEST("recording: a batch that somebody else wants logits of is computed to its end") {
    TwoSequences two;
    const auto recording = std::make_shared<Recording>(0, 0, 2, kDim, 0);
    const auto attachment = attach({3, 4}, two.table);
    two.batch.outputs[1] = 0;
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment, recording)), 0);
    CHECK(recording->complete());
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);                                     // theirs is merged
    CHECK_SAME_BITS(two.llama.logits[1], std::vector<float>(2 * kVocabulary, 0.0F));  // the recorded rows are the model's own
    CHECK_EQUAL(attachment->counters.rows.load(), 1U);
}

TEST("recording: from device memory, with logits") {
    Batch batch;
    for (int32_t i = 0; i < 3; ++i) batch.add(50 + i, {2, 10 + i}, false);
    FakeLlama llama;
    llama.device = true;
    llama.micros = {{{0, 1, 2}, nullptr}};
    const auto recording = std::make_shared<Recording>(2, 10, 3, kDim, kVocabulary);
    CHECK_EQUAL(llama.decode(batch, attachedTo(nullptr, recording)), 0);
    CHECK(recording->complete());
    CHECK_EQUAL(recording->hidden()[1], 10.0F);
    CHECK_SAME_BITS(recording->logits(), std::vector<float>(3 * kVocabulary, 0.0F));
}

namespace {

// Keys that are the states of block 0 at both sequences' last tokens, with tokens 3 and 4; of the last norm's states each is nearest to the other's.
std::shared_ptr<Attachment> attachToBlock(const char* layer) {
    rtd_index* index = indexOf({3, 4, 5, 6}, {0, 1, 0, 2, /**/ 1, 7, 0, 2, /**/ 0, 1, 1, 2, /**/ 0, 0, 0, 2});
    return attachTo(index, {nearest(), {}}, false, layer);
}

}  // namespace

TEST("layer: each row is searched for with its own token's states, of all tokens before the cut and of the output rows after it") {
    for (const bool device : {false, true}) {
        for (const char* layer : {"l_out-0", "l_out-1"}) {
            TwoSequences two;
            two.llama.blocks = true;
            two.llama.device = device;
            const auto attachment = attachToBlock(layer);
            attachment->steps.listen(true);
            CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), 0);
            const auto steps = attachment->steps.take(10);
            CHECK_EQUAL(steps.size(), 2U);
            const float block = layer[6] == '0' ? 0.0F : 1.0F;
            CHECK_SAME_BITS(steps[0].hidden, (std::vector<float>{1, 7, block, 2}));
            CHECK_SAME_BITS(steps[1].hidden, (std::vector<float>{0, 1, block, 2}));
            CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
            CHECK_EQUAL(winner(two.llama.logits[1]), block == 0 ? 3U : 5U);
        }
    }
}

TEST("layer: a recording ends the graph after it, and takes the rows that are wanted") {
    for (const bool device : {false, true}) {
        Batch batch;
        for (int32_t i = 0; i < 4; ++i) batch.add(50 + i, {0, i}, false);
        FakeLlama llama;
        llama.blocks = true;
        llama.device = device;
        llama.micros = {{{0, 1}, nullptr}, {{2, 3}, nullptr}};
        const auto recording = std::make_shared<Recording>(0, 1, 3, kDim, 0, "l_out-0");
        CHECK_EQUAL(llama.decode(batch, attachedTo(nullptr, recording)), 0);
        CHECK(recording->complete());
        CHECK_SAME_BITS(recording->hidden(), (std::vector<float>{0, 1, 0, 2, 0, 2, 0, 2, 0, 3, 0, 2}));
        CHECK_EQUAL(llama.computedNodes, 2);
        CHECK_EQUAL(llama.copies, 0);
    }
}

TEST("layer: a recording ends each part of a graph that lies on several devices") {
    Batch batch;
    for (int32_t i = 0; i < 2; ++i) batch.add(50 + i, {0, i}, false);
    FakeLlama llama;
    llama.blocks = true;
    llama.secondPart = 2;
    llama.micros = {{{0, 1}, nullptr}};
    const auto recording = std::make_shared<Recording>(0, 0, 2, kDim, 0, "l_out-0");
    CHECK_EQUAL(llama.decode(batch, attachedTo(nullptr, recording)), 0);
    CHECK(recording->complete());
    CHECK_SAME_BITS(recording->hidden(), (std::vector<float>{0, 0, 0, 2, 0, 1, 0, 2}));
    CHECK_EQUAL(llama.computedNodes, 2);  // the layer, and the first node of the second part
}

TEST("layer: recorded with logits, beside an attachment that searches with another, the graph runs to its end") {
    TwoSequences two;
    two.llama.blocks = true;
    two.batch.outputs[1] = 0;
    const auto recording = std::make_shared<Recording>(0, 0, 2, kDim, kVocabulary, "l_out-1");
    const auto attachment = attachToBlock("l_out-0");
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment, recording)), 0);
    CHECK(recording->complete());
    CHECK_SAME_BITS(recording->hidden(), (std::vector<float>{0, 0, 1, 2, 0, 1, 1, 2}));
    CHECK_SAME_BITS(recording->logits(), std::vector<float>(2 * kVocabulary, 0.0F));
    CHECK_EQUAL(winner(two.llama.logits[0]), 4U);
    CHECK_EQUAL(two.llama.computedNodes, 10);
}

TEST("layer: a name that the graph lacks fails the decode, and the error says what there is") {
    TwoSequences two;
    two.llama.blocks = true;
    const auto attachment = attachToBlock("l_out-2");
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), kDecodeFailed);
    const auto failure = attachment->failure.take();
    CHECK(failure && failure->status == RTD_INVALID_ARGUMENT);
    CHECK(failure->message.find("\"l_out-2\"") != std::string::npos && failure->message.find("l_out-0 to l_out-1") != std::string::npos);
    CHECK_EQUAL(two.llama.computedNodes, 0);
}

TEST("layer: all tokens' states of rows that cannot be named are refused, whatever their options") {
    TwoSequences two;
    two.llama.blocks = true;
    two.llama.micros[1].spoil = loseToken;
    const auto attachment = attachToBlock("l_out-0");
    CHECK_EQUAL(two.llama.decode(two.batch, attachedTo(attachment)), kDecodeFailed);
    CHECK(attachment->failure.take()->message.find("which are whose is not known") != std::string::npos);
}
