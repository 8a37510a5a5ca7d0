#include "napi/llama_binding.h"

#include "llama/tap.h"
#include "napi/arguments.h"
#include "napi/binding.h"
#include "napi/options.h"
#include "napi/results.h"

namespace rtd::napi {
namespace {

using llama::OptionTable;
using llama::Recording;
using llama::RowOptions;
using llama::Tap;

struct Attachment : Resource {
    static constexpr const char* kName = "attachment";
    std::shared_ptr<llama::Attachment> attachment;
    ~Attachment() override { Tap::instance().detach(*attachment); }
};

struct Recorder : Resource {
    static constexpr const char* kName = "recorder";
    std::shared_ptr<llama::Recorder> recorder;
    std::shared_ptr<Recording> recording;
    ~Recorder() override { Tap::instance().closeRecorder(*recorder); }
};

// Errors of the library, as the addon throws them.
template <typename Body>
auto rethrown(Body&& body) {
    try {
        return body();
    } catch (const Error& error) { throw Failure(error.status, error.message); }
}

llama::Attachment& attachmentOf(const Napi::CallbackInfo& info) { return *Environment::of(info.Env()).get<Attachment>(info[0]).attachment; }
Recorder& recorderOf(const Napi::CallbackInfo& info) { return Environment::of(info.Env()).get<Recorder>(info[0]); }

RowOptions readRow(const Napi::Value& value, const std::string& name) {
    const Options options(value, name);
    const Rows rows(options);
    if (rows.count() != 1) invalid("rows: an attachment takes options for sequences, not for rows");
    return RowOptions(rows.data()[0], options.flag("enabled", true));
}

// (common options, [[sequence id, its options], ...])
OptionTable readTable(const Napi::Value& common, const Napi::Value& sequences) {
    OptionTable table;
    table.common = readRow(common, "options");
    if (sequences.IsUndefined()) return table;
    const auto list = sequences.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
        const auto pair = Napi::Value(list.Get(i)).As<Napi::Array>();
        const uint32_t sequence = readInteger(pair.Get(0U), "sequence", 0, INT32_MAX);
        table.sequences.emplace(static_cast<int32_t>(sequence), readRow(pair.Get(1U), "options"));
    }
    return table;
}

Napi::Value numbered(const Napi::CallbackInfo& info, std::unique_ptr<Resource> resource) {
    return Napi::Number::New(info.Env(), static_cast<double>(Environment::of(info.Env()).add(std::move(resource))));
}

// A function that asks the JavaScript context for its threads.
std::function<void()> asking(const Napi::Value& function) {
    return [ask = function.As<Napi::Function>()] { ask.Call({}); };
}

std::string readLayer(const Napi::Value& value) { return value.IsUndefined() ? "" : value.As<Napi::String>().Utf8Value(); }

// (ask, index handle, threads or undefined, options, sequences, whether there is a rule, layer's name or undefined) -> handle
Napi::Value attach(const Napi::CallbackInfo& info) {
    const OptionTable table = readTable(info[3], info[4]);
    const uint32_t threads = info[2].IsUndefined() ? 0 : readInteger(info[2], "threads", 1, kMaxThreads);
    const IndexRef index = Environment::of(info.Env()).get<Index>(info[1]).ref;
    auto resource = std::make_unique<Attachment>();
    resource->attachment =
        rethrown([&] { return Tap::instance().attach(asking(info[0]), index.get(), threads, table, info[5].ToBoolean(), readLayer(info[6])); });
    return numbered(info, std::move(resource));
}

// (handle, options, sequences)
Napi::Value setOptions(const Napi::CallbackInfo& info) {
    OptionTable table = readTable(info[1], info[2]);
    auto& attachment = attachmentOf(info);
    if (attachment.disposed) throw Failure(RTD_CLOSED, "the attachment's context was freed; attach to another one");
    attachment.setOptions(std::move(table));
    return info.Env().Undefined();
}

// (handle) -> figures
Napi::Value stats(const Napi::CallbackInfo& info) {
    const auto& attachment = attachmentOf(info);
    const auto& counters = attachment.counters;
    Results results(info.Env());
    const napi_value figures = results.object();
    const auto set = [&](const char* name, uint64_t value) { results.set(figures, name, results.number(static_cast<double>(value))); };
    set("decodes", counters.decodes);
    set("rows", counters.rows);
    set("merged", counters.merged);
    set("unchanged", counters.unchanged);
    set("unmergeable", counters.unmergeable);
    set("failures", counters.failures);
    set("droppedSteps", attachment.steps.dropped());
    return results.orThrow(figures);
}

// (handle) -> the RtdError of the last decode that was made to fail, once; else undefined
Napi::Value takeFailure(const Napi::CallbackInfo& info) {
    const auto failure = attachmentOf(info).failure.take();
    if (!failure) return info.Env().Undefined();
    return Napi::Value(info.Env(), Environment::of(info.Env()).error(info.Env(), Failure(failure->status, failure->message)));
}

// (handle, on)
Napi::Value listen(const Napi::CallbackInfo& info) {
    attachmentOf(info).steps.listen(info[1].ToBoolean());
    return info.Env().Undefined();
}

// What a rule and a listener are told of a row: { sequence, position, hits, figures }
napi_value rowOf(Results& results, const llama::Step& step) {
    const napi_value object = results.object();
    results.set(object, "sequence", results.number(step.name.sequence));
    results.set(object, "position", results.number(step.name.position));
    const napi_value hits = results.object();
    results.set(hits, "ids", results.array(step.ids));
    results.set(hits, "distances", results.array(step.distances));
    results.set(hits, "tokens", results.array(step.tokens));
    results.set(hits, "counts", results.array(step.counts));
    const size_t heads = step.counts.size();
    results.set(hits, "k", results.number(heads == 0 ? 0 : static_cast<double>(step.ids.size() / heads)));
    results.set(hits, "heads", results.number(static_cast<double>(heads)));
    results.set(object, "hits", hits);
    const napi_value figures = results.object();
    results.set(figures, "nearest", results.number(step.figures.nearest));
    results.set(figures, "hitEntropy", results.number(step.figures.hit_entropy));
    results.set(figures, "largestVote", results.number(step.figures.largest_vote));
    results.set(figures, "modelEntropy", results.number(step.figures.model_entropy));
    results.set(figures, "referenceWeight", results.number(step.figures.reference_weight));
    results.set(figures, "temperature", results.number(step.figures.temperature));
    results.set(object, "figures", figures);
    return object;
}

napi_value stepOf(Results& results, const llama::Step& step) {
    static constexpr const char* kStatuses[] = {"merged", "unchanged", "unmergeable"};  // by rtd_row_status
    const napi_value object = rowOf(results, step);
    results.set(object, "hidden", results.array(step.hidden));
    results.set(object, "logits", results.array(step.logits));
    results.set(object, "status", results.text(kStatuses[step.status]));
    return object;
}

// (handle, limit) -> the oldest steps, at most limit
Napi::Value takeSteps(const Napi::CallbackInfo& info) {
    const auto steps = attachmentOf(info).steps.take(readInteger(info[1], "limit", 1, UINT32_MAX));
    Results results(info.Env());
    const napi_value list = results.list(steps.size());
    for (size_t i = 0; i < steps.size(); ++i) results.set(list, i, stepOf(results, steps[i]));
    return results.orThrow(list);
}

// (handle, rule): merges the rows of the decode that has just ended as the rule says, which is given each row and returns { referenceWeight?,
// temperature? }, or undefined once it is detached. What it throws goes on to the caller, and the context forgets the batch.
Napi::Value decide(const Napi::CallbackInfo& info) {
    // It lives on if the rule detaches it.
    const std::shared_ptr<llama::Attachment> attachment = Environment::of(info.Env()).get<Attachment>(info[0]).attachment;
    const auto rule = info[1].As<Napi::Function>();
    llama::UndecidedBatch batch = attachment->undecided.take();
    try {
        for (llama::UndecidedRow& row : batch.rows) {
            const Napi::HandleScope scope(info.Env());
            llama::Decision decision;
            if (!row.isBroken) {
                Results results(info.Env());
                const Napi::Value answer = rule.Call({results.orThrow(rowOf(results, row.step))});
                if (answer.IsUndefined()) break;
                const Options parts(answer, "rule");
                if (parts.has("referenceWeight")) decision.referenceWeight = parts.number("referenceWeight", 0);
                if (parts.has("temperature")) decision.temperature = parts.number("temperature", 0);
            }
            if (attachment->disposed) break;
            rethrown([&] { llama::settle(*attachment, batch.vocabulary, row, decision); });
        }
    } catch (...) {
        ++attachment->counters.failures;
        if (!attachment->disposed) llama::forgetFrom(Tap::instance().functions(), batch.context, batch.firstPositions);
        throw;
    }
    return info.Env().Undefined();
}

// (ask) -> { recorder: handle, embeddingSize, vocabulary }
Napi::Value openRecorder(const Napi::CallbackInfo& info) {
    auto resource = std::make_unique<Recorder>();
    resource->recorder = rethrown([&] { return Tap::instance().openRecorder(asking(info[0])); });
    const llama::ModelShape shape = resource->recorder->shape();
    auto result = Napi::Object::New(info.Env());
    result.Set("recorder", numbered(info, std::move(resource)));
    result.Set("embeddingSize", static_cast<double>(shape.embeddingSize));
    result.Set("vocabulary", static_cast<double>(shape.vocabulary));
    return result;
}

// (handle, sequence, first position, count, how many of the last to have the logits of, layer's name or undefined): until endRecording
Napi::Value beginRecording(const Napi::CallbackInfo& info) {
    Recorder& recorder = recorderOf(info);
    const auto sequence = static_cast<int32_t>(readInteger(info[1], "sequence", 0, INT32_MAX));
    const auto first = static_cast<int32_t>(readInteger(info[2], "first", 0, INT32_MAX));
    const size_t count = readInteger(info[3], "count", 1, INT32_MAX);
    const llama::ModelShape shape = recorder.recorder->shape();
    const size_t logitRows = readInteger(info[4], "logits", 0, INT32_MAX);
    const auto vocabulary = logitRows > 0 ? static_cast<size_t>(shape.vocabulary) : 0;
    recorder.recording =
        std::make_shared<Recording>(sequence, first, count, static_cast<size_t>(shape.embeddingSize), vocabulary, readLayer(info[5]), logitRows);
    Tap::instance().setRecording(*recorder.recorder, recorder.recording);
    return info.Env().Undefined();
}

// (handle) -> { failure } | { hidden, logits, complete } of what was recorded
Napi::Value endRecording(const Napi::CallbackInfo& info) {
    Recorder& recorder = recorderOf(info);
    const auto recording = std::exchange(recorder.recording, nullptr);
    Tap::instance().setRecording(*recorder.recorder, nullptr);
    if (!recording) return info.Env().Undefined();
    Results results(info.Env());
    const napi_value result = results.object();
    if (const auto failure = recording->failure.take()) {
        results.set(result, "failure", Environment::of(info.Env()).error(info.Env(), Failure(failure->status, failure->message)));
        return results.orThrow(result);
    }
    results.set(result, "complete", results.boolean(recording->complete()));
    results.set(result, "hidden", results.array(recording->hidden()));
    if (recording->wantsLogits()) results.set(result, "logits", results.array(recording->logits()));
    return results.orThrow(result);
}

// () -> whether all hooks are in place; overwritten ones are put back
Napi::Value rearm(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), rethrown([] { return Tap::instance().rearm(); }));
}

// () -> how many attachments and recorders there are in the process
Napi::Value users(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(Tap::instance().users())); }

// () -> the llama.cpp releases that are known
Napi::Value releases(const Napi::CallbackInfo& info) {
    auto list = Napi::Array::New(info.Env());
    for (uint32_t i = 0; i < std::size(llama::kReleases); ++i) list.Set(i, llama::kReleases[i].name);
    return list;
}

}  // namespace

void registerLlama(Napi::Env env, Napi::Object exports) {
    define<attach>(env, exports, "llamaAttach");
    define<setOptions>(env, exports, "llamaSetOptions");
    define<stats>(env, exports, "llamaStats");
    define<takeFailure>(env, exports, "llamaTakeFailure");
    define<decide>(env, exports, "llamaDecide");
    define<listen>(env, exports, "llamaListen");
    define<takeSteps>(env, exports, "llamaTakeSteps");
    define<openRecorder>(env, exports, "llamaOpenRecorder");
    define<beginRecording>(env, exports, "llamaBeginRecording");
    define<endRecording>(env, exports, "llamaEndRecording");
    define<rearm>(env, exports, "llamaRearm");
    define<users>(env, exports, "llamaUsers");
    define<releases>(env, exports, "llamaReleases");
}

}  // namespace rtd::napi
