// Searching and fusing: each call is one job, which its synchronous twin runs in place and the other on a copy, off the event loop.
#include "napi/arguments.h"
#include "napi/async_work.h"
#include "napi/binding.h"
#include "napi/keys.h"
#include "napi/options.h"

namespace rtd::napi {
namespace {

constexpr const char* kRowStatuses[] = {"merged", "unchanged", "unmergeable"};  // by rtd_row_status

// Results of one call are held twice for a moment; a bound turns a slip of a factor of 1000 into an error instead of the death of the process.
constexpr size_t kMostHits = size_t{1} << 28;

// Hits of B * heads rows.
struct HitArrays {
    std::vector<uint32_t> ids, counts;
    std::vector<float> distances;
    std::vector<int32_t> tokens;
    uint32_t heads = 0;
    rtd_hits view{};

    void allocate(size_t queries, uint32_t headCount, uint32_t capacity) {
        heads = headCount;
        const size_t rows = queries * heads;
        if (rows > kMostHits / capacity) invalid("queries: more than " + std::to_string(kMostHits) + " hits in one call; split the queries");
        ids.resize(rows * capacity);
        distances.resize(rows * capacity);
        tokens.resize(rows * capacity);
        counts.resize(rows);
        view = {ids.data(), distances.data(), tokens.data(), counts.data(), capacity};
    }
    napi_value result(Results& results) const {
        const napi_value hits = results.object();
        results.set(hits, "ids", results.array(ids));
        results.set(hits, "distances", results.array(distances));
        results.set(hits, "tokens", results.array(tokens));
        results.set(hits, "counts", results.array(counts));
        results.set(hits, "k", results.number(view.capacity));
        results.set(hits, "heads", results.number(heads));
        return hits;
    }
};

napi_value statusList(Results& results, const std::vector<rtd_row_status>& statuses) {
    const napi_value list = results.list(statuses.size());
    for (size_t i = 0; i < statuses.size(); ++i) results.set(list, i, results.text(kRowStatuses[statuses[i]]));
    return list;
}

// Logits [rows, V], rewritten in place or written back.
struct Logits {
    OutArray array;
    rtd_mutable_matrix matrix{};

    Logits(const Napi::Value& value, size_t rows, Access access)
        : Logits(value, viewArray(value, "logits", {napi_float32_array, napi_uint16_array}), rows, access) {}

    // Whether the result is with the caller; else `results` says why not.
    void writeBack(Results& results) const {
        std::string reason = array.writeBack();
        if (!reason.empty()) results.fail(RTD_INVALID_ARGUMENT, std::move(reason));
    }

  private:
    Logits(const Napi::Value& value, const View& view, size_t rows, Access access) : array(value, view, "logits", access) {
        if (rows == 0 ? view.length != 0 : view.length % rows != 0 || view.length == 0) {
            invalid("logits: expected " + std::to_string(rows) + " rows of the vocabulary's size, got " + std::to_string(view.length) + " numbers");
        }
        // Without rows nothing tells the vocabulary's size: one that holds every token.
        matrix = {array.data(), rows, rows ? view.length / rows : size_t{1} << 31, 0, view.halfOrFloat()};
    }
};

// What a search looked at, where that was asked for.
struct Stats {
    bool wanted;
    rtd_search_counts counts{};

    rtd_call_options with(rtd_call_options call) {
        if (wanted) call.counts = &counts;
        return call;
    }
    void setOn(napi_value result, Results& results) const {
        if (!wanted) return;
        const napi_value stats = results.object();
        const auto set = [&](const char* name, uint64_t value) { results.set(stats, name, results.number(static_cast<double>(value))); };
        set("scanned", counts.scanned);
        set("level1", counts.level1);
        set("level2", counts.level2);
        set("level2b", counts.level2b);
        set("level3", counts.level3);
        set("exact", counts.exact);
        set("bytes", counts.bytes);
        results.set(result, "stats", stats);
    }
};

// What rows were weighed by, where that was asked for.
struct Figures {
    bool wanted;
    std::vector<rtd_row_figures> rows;

    Figures(bool isWanted, size_t count) : wanted(isWanted), rows(isWanted ? count : 0) {}
    void setOn(napi_value result, Results& results) const {
        if (!wanted) return;
        const napi_value figures = results.object();
        const auto set = [&](const char* name, double rtd_row_figures::*figure) {
            std::vector<double> values(rows.size());
            for (size_t b = 0; b < rows.size(); ++b) values[b] = rows[b].*figure;
            results.set(figures, name, results.array(values));
        };
        set("nearest", &rtd_row_figures::nearest);
        set("hitEntropy", &rtd_row_figures::hit_entropy);
        set("largestVote", &rtd_row_figures::largest_vote);
        set("modelEntropy", &rtd_row_figures::model_entropy);
        set("referenceWeight", &rtd_row_figures::reference_weight);
        set("temperature", &rtd_row_figures::temperature);
        results.set(result, "figures", figures);
    }
};

struct SearchJob : Job {
    IndexRef index;
    Rows rows;
    uint32_t threads;
    Stats stats;
    InArray queriesArray;
    rtd_matrix queries{};
    HitArrays hits;

    SearchJob(const Napi::CallbackInfo& info, const Napi::Value& optionsValue, Access access) : SearchJob(info, Options(optionsValue), access) {}

    rtd_status execute(const rtd_call_options& call) override {
        const rtd_call_options counted = stats.with(call);
        return rtd_search(index.get(), &queries, rows.data(), rows.count(), &counted, &hits.view);
    }
    napi_value finish(Results& results) override {
        const napi_value result = hits.result(results);
        stats.setOn(result, results);
        return result;
    }

  protected:
    // (handle, queries, ...)
    SearchJob(const Napi::CallbackInfo& info, const Options& options, Access access, bool wantHits = true)
        : rows(options), threads(options.threads()), stats{options.flag("stats", false)} {
        index = Environment::of(info.Env()).get<Index>(info[0]).ref;
        const rtd_index_info known = infoOf(index);
        const View view = viewArray(info[1], "queries", {napi_float32_array, napi_uint16_array});
        queriesArray = InArray(view, access);
        queries = matrixOf(queriesArray, view.halfOrFloat(), known.dim, "queries", "dim");
        rows.expect(queries.rows);
        if (wantHits) hits.allocate(queries.rows, known.heads, rows.largestK());
    }
};

// (handle, queries, options) -> Hits
Napi::Value searchSync(const Napi::CallbackInfo& info) {
    SearchJob job(info, info[2], Access::inPlace);
    return runNow(info.Env(), job, job.threads);
}

// (handle, queries, options, task) -> promise of Hits
Napi::Value search(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<SearchJob>(info, info[2], Access::copied);
    const uint32_t threads = job->threads;
    return runLater(info.Env(), "rtd search", std::move(job), threads, readTask(info[3]));
}

struct SearchAndFuseJob : SearchJob {
    bool wantHits;
    Logits logits;
    std::vector<rtd_row_status> statuses;
    Figures figures;

    SearchAndFuseJob(const Napi::CallbackInfo& info, const Options& options, Access access)
        : SearchAndFuseJob(info, options, access, options.flag("hits", true), options.flag("figures", false)) {}

    rtd_status execute(const rtd_call_options& call) override {
        rtd_call_options counted = stats.with(call);
        if (figures.wanted) counted.figures = figures.rows.data();
        return rtd_search_and_fuse(index.get(), &queries, &logits.matrix, rows.data(), rows.count(), &counted, wantHits ? &hits.view : nullptr,
                                   statuses.data());
    }
    napi_value finish(Results& results) override {
        logits.writeBack(results);
        const napi_value result = results.object();
        results.set(result, "statuses", statusList(results, statuses));
        if (wantHits) results.set(result, "hits", hits.result(results));
        stats.setOn(result, results);
        figures.setOn(result, results);
        return result;
    }

  private:
    SearchAndFuseJob(const Napi::CallbackInfo& info, const Options& options, Access access, bool wanted, bool wantFigures)
        : SearchJob(info, options, access, wanted),
          wantHits(wanted),
          logits(info[2], queries.rows, access),
          statuses(queries.rows),
          figures(wantFigures, queries.rows) {}
};

// (handle, queries, logits, options) -> { statuses, hits? }
Napi::Value searchAndFuseSync(const Napi::CallbackInfo& info) {
    SearchAndFuseJob job(info, Options(info[3]), Access::inPlace);
    return runNow(info.Env(), job, job.threads);
}

// (handle, queries, logits, options, task) -> promise of { statuses, hits? }
Napi::Value searchAndFuse(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<SearchAndFuseJob>(info, Options(info[3]), Access::copied);
    const uint32_t threads = job->threads;
    return runLater(info.Env(), "rtd searchAndFuse", std::move(job), threads, readTask(info[4]));
}

// Hits that came from elsewhere: { distances, tokens, counts, k, heads? }.
struct ForeignHits {
    uint32_t k, heads;
    Napi::Value distancesValue, tokensValue, countsValue;

    explicit ForeignHits(const Options& hits)
        : k(readInteger(hits.get("k"), "hits.k", 1, RTD_MAX_K)),
          heads(hits.integer("heads", 1, 1, RTD_MAX_DIM)),
          distancesValue(hits.get("distances")),
          tokensValue(hits.get("tokens")),
          countsValue(hits.get("counts")) {}
};

struct FuseJob : Job {
    Rows rows;
    uint32_t heads;
    InArray distances, tokens, counts;
    Logits logits;
    std::vector<rtd_row_status> statuses;
    Figures figures;
    rtd_hits hits{};

    // (hits, logits, options)
    FuseJob(const Napi::CallbackInfo& info, Access access) : FuseJob(info, Options(info[2]), access) {}

    // Fusing alone passes over the logits once and is not interrupted: cancelled meanwhile, its result is dropped.
    rtd_status execute(const rtd_call_options& call) override {
        if (figures.wanted) {
            const rtd_mutable_matrix& m = logits.matrix;
            const rtd_matrix read = {m.data, m.rows, m.columns, m.row_stride, m.dtype};
            const rtd_status status = rtd_figures(&hits, heads, &read, rows.data(), rows.count(), figures.rows.data());
            if (status != RTD_OK) return status;
        }
        const rtd_status status = rtd_fuse(&hits, heads, &logits.matrix, rows.data(), rows.count(), statuses.data());
        return status == RTD_OK && call.should_stop && call.should_stop(call.context) ? RTD_CANCELLED : status;
    }
    napi_value finish(Results& results) override {
        logits.writeBack(results);
        const napi_value result = results.object();
        results.set(result, "statuses", statusList(results, statuses));
        figures.setOn(result, results);
        return result;
    }

  private:
    static size_t queriesOf(size_t hitRows, uint32_t heads) {
        if (hitRows % heads != 0) {
            invalid("hits.counts: expected a multiple of heads = " + std::to_string(heads) + " elements, got " + std::to_string(hitRows));
        }
        return hitRows / heads;
    }

    FuseJob(const Napi::CallbackInfo& info, const Options& options, Access access)
        : FuseJob(info, Rows(options), options.flag("figures", false), ForeignHits(Options(info[0], "hits", "hits.")), access) {}

    FuseJob(const Napi::CallbackInfo& info, Rows given, bool wantFigures, const ForeignHits& foreign, Access access)
        : rows(std::move(given)),
          heads(foreign.heads),
          distances(viewArray(foreign.distancesValue, "hits.distances", {napi_float32_array}), access),
          tokens(viewArray(foreign.tokensValue, "hits.tokens", {napi_int32_array}), access),
          counts(viewArray(foreign.countsValue, "hits.counts", {napi_uint32_array}), access),
          logits(info[1], queriesOf(counts.length(), heads), access),
          statuses(queriesOf(counts.length(), heads)),
          figures(wantFigures, statuses.size()) {
        const size_t hitRows = counts.length();
        expectLength(distances.length(), hitRows * foreign.k, "hits.distances", "k for each of hits.counts");
        expectLength(tokens.length(), hitRows * foreign.k, "hits.tokens", "k for each of hits.counts");
        rows.expect(statuses.size());
        // Only read: rtd_hits serves output too and is not const.
        hits = {nullptr, const_cast<float*>(distances.as<float>()), const_cast<int32_t*>(tokens.as<int32_t>()),
                const_cast<uint32_t*>(counts.as<uint32_t>()), foreign.k};
    }
};

// (hits, logits, options) -> { statuses }
Napi::Value fuseSync(const Napi::CallbackInfo& info) {
    FuseJob job(info, Access::inPlace);
    return runNow(info.Env(), job, 0);
}

// (hits, logits, options, task) -> promise of { statuses }
Napi::Value fuse(const Napi::CallbackInfo& info) {
    return runLater(info.Env(), "rtd fuse", std::make_unique<FuseJob>(info, Access::copied), 0, readTask(info[3]));
}

// (logits, vocabulary, tokens, tokens a row) -> Float64Array [rows, tokens a row]
Napi::Value logProbabilities(const Napi::CallbackInfo& info) {
    const uint32_t vocabulary = readInteger(info[1], "vocabulary", 1, INT32_MAX);
    const uint32_t perRow = info[3].IsUndefined() ? 1 : readInteger(info[3], "tokensPerRow", 1, INT32_MAX);
    const View view = viewArray(info[0], "logits", {napi_float32_array, napi_uint16_array});
    const InArray logits(view, Access::inPlace);
    const rtd_matrix matrix = matrixOf(logits, view.halfOrFloat(), vocabulary, "logits", "vocabulary");
    const InArray tokens(viewArray(info[2], "tokens", {napi_int32_array}), Access::inPlace);
    expectLength(tokens.length(), matrix.rows * perRow, "tokens", "tokensPerRow for each row of logits");
    std::vector<double> out(tokens.length());
    check(rtd_log_probabilities(&matrix, tokens.as<int32_t>(), perRow, out.data()));
    Results results(info.Env());
    return results.orThrow(results.array(out));
}

}  // namespace

void registerSearch(Napi::Env env, Napi::Object exports) {
    define<search>(env, exports, "search");
    define<searchSync>(env, exports, "searchSync");
    define<searchAndFuse>(env, exports, "searchAndFuse");
    define<searchAndFuseSync>(env, exports, "searchAndFuseSync");
    define<fuse>(env, exports, "fuse");
    define<fuseSync>(env, exports, "fuseSync");
    define<logProbabilities>(env, exports, "logProbabilities");
}

}  // namespace rtd::napi
