#include "case.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "harness.h"

TestIndex::TestIndex(const rtd_index_options& options) { checkOk(rtd_index_create(&options, &index_), "rtd_index_create"); }

void checkOk(rtd_status status, const char* what) {
    if (status != RTD_OK) throw test::Failure(std::string(what) + " returned " + rtd_status_name(status) + ": " + rtd_last_error());
}

rtd_index_options indexOptions(uint32_t dim, rtd_metric metric, rtd_dtype dtype, uint32_t heads, const char* backend, uint32_t threads) {
    rtd_index_options options{};
    options.struct_size = sizeof options;
    options.dim = dim;
    options.metric = metric;
    options.dtype = dtype;
    options.heads = heads;
    options.backend = backend;
    options.threads = threads;
    return options;
}

rtd_row_options rowOptions(uint32_t k, float weight, float temperature) {
    rtd_row_options options{};
    options.struct_size = sizeof options;
    options.k = k;
    options.reference_weight = weight;
    options.temperature = temperature;
    return options;
}

rtd_matrix matrixOf(const std::vector<float>& values, size_t columns) {
    return {values.data(), columns ? values.size() / columns : 0, columns, 0, RTD_F32};
}
rtd_mutable_matrix mutableMatrixOf(std::vector<float>& values, size_t columns) {
    return {values.data(), columns ? values.size() / columns : 0, columns, 0, RTD_F32};
}

std::string Shape::text() const {
    return "entries " + std::to_string(entries) + " dim " + std::to_string(dim) + " batch " + std::to_string(batch) + " k " + std::to_string(k) +
           " vocabulary " + std::to_string(vocabulary) + " heads " + std::to_string(heads) + " metric " + std::to_string(metric) + " dtype " +
           std::to_string(dtype) + " kind " + std::to_string(static_cast<int>(kind));
}

std::vector<const char*> usableBackends() {
    const rtd_backend_info* list;
    size_t count;
    checkOk(rtd_backends(&list, &count), "rtd_backends");
    std::vector<const char*> names;
    for (size_t i = 0; i < count; ++i)
        if (list[i].usable) names.push_back(list[i].name);
    return names;
}

namespace {

using Random = std::mt19937_64;

uint32_t below(Random& random, uint32_t n) { return static_cast<uint32_t>(random() % n); }

// A number of a kind; key < 0 for those of queries.
float number(Random& random, Kind kind, int64_t key, uint32_t dimension) {
    std::normal_distribution<float> normal;
    const float v = normal(random);
    switch (kind) {
        case Kind::ties:
            return static_cast<float>(below(random, 2));
        case Kind::equal:
            return 0.25f;
        case Kind::descending:
            return key < 0 ? 0.0f : 100.0f / static_cast<float>(key + 1) + 0.001f * static_cast<float>(dimension % 7);
        case Kind::spiky:
            return dimension % 13 == 4 ? 100 * v : v;
        case Kind::tiny:
            return v * 1e-40f;
        case Kind::huge:
            return v * 1e4f;
        case Kind::overflowing:
            return v * 1e19f * (dimension % 3 ? 1.0f : 1e15f);
        case Kind::zeros:
            return below(random, 3) ? (below(random, 2) ? 0.0f : -0.0f) : v;
        default:
            return v;
    }
}

// Within what a dtype holds: keys must not overflow it.
float limited(rtd_dtype dtype, float v) { return dtype == RTD_F16 ? std::clamp(v, -60000.0f, 60000.0f) : v; }

rtd_row_options randomRow(Random& random, const Shape& shape, std::vector<uint32_t>& namespaces) {
    constexpr float kWeights[] = {0, 0.25f, 0.5f, 0.9f, 1, 0.3f, 0.999f}, kTemperatures[] = {1, 10, 160, 0.01f};
    rtd_row_options row =
        rowOptions(below(random, 3) ? shape.k : 1 + below(random, shape.k), kWeights[below(random, 7)], kTemperatures[below(random, 4)]);
    if (below(random, 4) == 0) {
        row.flags |= RTD_ROW_MAX_DISTANCE;
        row.max_distance = (shape.metric == RTD_DOT ? -0.5f : 1.5f) * std::sqrt(static_cast<float>(shape.dim / shape.heads));
    }
    if (below(random, 4) == 0) row.flags |= RTD_ROW_UNMASK;
    if (below(random, 12) == 0) row.flags |= RTD_ROW_SKIP;
    if (below(random, 3) == 0) {
        for (uint32_t i = below(random, 4); i > 0; --i) namespaces.push_back(below(random, 5));
        namespaces.reserve(1);  // so that an empty list is not NULL: it accepts nothing
        row.namespaces = namespaces.data();
        row.namespace_count = static_cast<uint32_t>(namespaces.size());
    }
    return row;
}

float randomLogit(Random& random, uint32_t kind, bool isPlain) {
    std::normal_distribution<float> normal;
    float l = normal(random) * 4;
    if (isPlain) return l;
    if (kind == 1) l += 80;
    if (kind == 2 && below(random, 3)) l = -INFINITY;
    if (kind == 3) l = -INFINITY;
    if (kind == 4 && below(random, 20) == 0) l = NAN;
    if (kind == 5 && below(random, 20) == 0) l = INFINITY;
    if (kind == 6) l *= 2000;
    return l;
}

}  // namespace

Shape randomShape(Random& random) {
    const auto pick = [&](std::initializer_list<uint32_t> from) { return *(from.begin() + below(random, static_cast<uint32_t>(from.size()))); };
    Shape s;
    s.entries = pick({0, 1, 2, 7, 31, 64, 100, 127, 128, 129, 257, 700});
    s.heads = pick({1, 1, 1, 2, 3, 8});
    s.dim = s.heads * pick({1, 2, 3, 5, 8, 15, 17, 31, 33, 64, 100, 129});
    s.batch = pick({0, 1, 1, 2, 3, 4, 5, 8, 17});
    s.k = pick({1, 2, 3, 8, 16, 33, 64, 100, 300});
    s.vocabulary = pick({1, 5, 33, 300, 1023, 1024, 1025, 2500});
    s.metric = static_cast<rtd_metric>(below(random, 3));
    s.dtype = static_cast<rtd_dtype>(below(random, 3));
    s.kind = kKinds[below(random, std::size(kKinds))];
    const uint32_t rare = below(random, 40);
    if (rare == 0) s.entries = 5000, s.dim = 8, s.heads = 1, s.k = pick({1000, 2047, 2048}), s.batch = 2;
    if (rare == 1) s.entries = 40, s.dim = 16, s.heads = 2, s.batch = pick({63, 64, 65, 130}), s.k = 5, s.vocabulary = 33;
    if (rare == 2) s.entries = 20000, s.dim = 6, s.heads = 2, s.batch = 1, s.k = 20;
    return s;
}

Case makeCase(const Shape& shape, uint64_t seed, bool isPlain) {
    Random random(seed);
    Case c;
    c.shape = shape;
    c.data.dim = shape.dim;
    c.data.heads = shape.heads;
    c.data.metric = shape.metric;
    c.given.resize(size_t{shape.entries} * shape.dim);
    for (uint32_t i = 0; i < shape.entries; ++i)
        for (uint32_t j = 0; j < shape.dim; ++j)
            c.given[size_t{i} * shape.dim + j] = shape.kind == Kind::duplicates && i >= 4 ? c.given[size_t{i % 4} * shape.dim + j]
                                                                                          : limited(shape.dtype, number(random, shape.kind, i, j));
    for (const float v : c.given) c.data.keys.push_back(oracle::roundTo(shape.dtype, v));
    const uint32_t spread = isPlain ? shape.vocabulary : std::min(shape.vocabulary, below(random, 2) ? 3u : 1000u);
    for (uint32_t i = 0; i < shape.entries; ++i) {
        c.data.tokens.push_back(static_cast<int32_t>(below(random, spread)));
        c.data.namespaces.push_back(isPlain ? 0 : below(random, 4));
        c.data.removed.push_back(!isPlain && seed % 3 == 0 && below(random, 4) == 0);
    }
    for (uint32_t b = 0; b < shape.batch; ++b)
        for (uint32_t j = 0; j < shape.dim; ++j)
            c.queries.push_back(below(random, 8) == 0 && shape.entries > 0 ? c.data.keys[j] : number(random, shape.kind, -1, j));
    c.namespaces.resize(shape.batch);
    for (uint32_t b = 0; b < shape.batch; ++b) {
        const uint32_t kind = below(random, 10);
        for (uint32_t v = 0; v < shape.vocabulary; ++v) c.logits.push_back(oracle::roundTo(RTD_F16, randomLogit(random, kind, isPlain)));
        c.rows.push_back(isPlain ? rowOptions(shape.k, 0.5f, 10) : randomRow(random, shape, c.namespaces[b]));
    }
    c.seeds.resize(shape.batch);
    for (uint32_t b = 0; b < shape.batch && !isPlain; ++b) {  // any ids, also of no entry, and twice
        for (uint32_t i = below(random, 2) ? 0 : below(random, 3 * shape.k); i > 0 && c.seeds[b].size() < RTD_MAX_K; --i)
            c.seeds[b].push_back(below(random, shape.entries + 3));
        c.rows[b].seeds = c.seeds[b].data();
        c.rows[b].seed_count = c.seeds[b].size();
    }
    return c;
}

void giveBiases(Case& c, uint64_t seed) {
    Random random(seed);
    std::normal_distribution<float> normal;
    const uint32_t vocabulary = c.shape.vocabulary;
    c.biasTokens.resize(c.rows.size());
    c.biasValues.resize(c.rows.size());
    for (size_t b = 0; b < c.rows.size(); ++b) {
        const uint32_t kind = below(random, 5);
        std::vector<int32_t>& tokens = c.biasTokens[b];
        if (kind == 1)  // of all tokens
            for (uint32_t v = 0; v < vocabulary; ++v) tokens.push_back(static_cast<int32_t>(v));
        for (uint32_t i = kind == 2 ? 1 : kind == 3 ? 40 : kind == 4 ? 3 : 0; i > 0; --i)  // of some, in any order
            tokens.push_back(static_cast<int32_t>(below(random, kind == 4 ? std::min(vocabulary, 3u) : vocabulary)));
        std::set<int32_t> seen;
        std::erase_if(tokens, [&](int32_t token) { return !seen.insert(token).second; });
        for (size_t i = 0; i < tokens.size(); ++i) c.biasValues[b].push_back(kind == 3 && i == 0 ? 1e5f : 3 * normal(random));
        c.rows[b].bias_tokens = tokens.data();
        c.rows[b].bias_values = c.biasValues[b].data();
        c.rows[b].bias_count = tokens.size();
    }
}

void giveGates(Case& c, uint64_t seed) {
    Random random(seed);
    std::normal_distribution<float> normal;
    c.gates.resize(c.rows.size());
    for (size_t b = 0; b < c.rows.size(); ++b) {
        if (below(random, 4) == 0) continue;
        const uint32_t kind = below(random, 8);
        const float scale = kind == 0 ? 1e30f : kind == 1 ? 200 : 2;
        c.gates[b] = {sizeof(rtd_gate),       kind == 2 ? 0.0f : kind == 3 ? 1.0f : 0.3f,
                      scale * normal(random), scale * normal(random),
                      scale * normal(random), scale * normal(random)};
        c.rows[b].gate = &c.gates[b];
        c.rows[b].reference_weight = NAN;  // not read
    }
}

void fillIndex(rtd_index* index, const Case& c) {
    const size_t dim = c.shape.dim, entries = c.shape.entries;
    size_t piece = 1;
    for (size_t begin = 0; begin < entries; begin += piece, piece = piece * 3 % 1000 + 1) {
        const size_t n = std::min(piece, entries - begin);
        const rtd_matrix keys = {c.given.data() + begin * dim, n, dim, 0, RTD_F32};
        uint32_t first;
        CHECK_OK(rtd_index_add(index, &keys, c.data.tokens.data() + begin, c.data.namespaces.data() + begin, &first));
        CHECK_EQUAL(first, begin);
    }
    std::vector<uint32_t> removed;
    for (uint32_t id = 0; id < entries; ++id)
        if (c.data.removed[id]) removed.push_back(id);
    CHECK_OK(rtd_index_remove(index, removed.data(), removed.size()));
}

Answer run(const rtd_index* index, const Case& c, const Way& way) {
    constexpr float kSentinel = 12345;
    const Shape& s = c.shape;
    const size_t rows = size_t{s.batch} * s.heads, pad = way.isPadded ? 3 : 0, capacity = s.k + pad, stride = s.vocabulary + pad;
    Answer a;
    a.ids.assign(rows * capacity, 7);
    a.distances.assign(rows * capacity, -7);
    a.tokens.assign(rows * capacity, 7);
    a.counts.assign(rows, 7);
    a.statuses.assign(s.batch, RTD_ROW_MERGED);
    std::vector<float> queries(s.batch * (s.dim + pad), NAN), logits(s.batch * stride, kSentinel);
    std::vector<uint16_t> halves;
    for (size_t b = 0; b < s.batch; ++b) {
        std::copy_n(&c.queries[b * s.dim], s.dim, &queries[b * (s.dim + pad)]);
        std::copy_n(&c.logits[b * s.vocabulary], s.vocabulary, &logits[b * stride]);
    }
    for (const float l : logits) halves.push_back(oracle::toF16(l));
    const rtd_matrix queryMatrix = {queries.data(), s.batch, s.dim, pad ? s.dim + pad : 0, RTD_F32};
    const bool isHalf = way.logitsDtype == RTD_F16;
    const rtd_mutable_matrix logitMatrix = {isHalf ? static_cast<void*>(halves.data()) : logits.data(), s.batch, s.vocabulary, pad ? stride : 0,
                                            way.logitsDtype};
    const rtd_hits hits = {a.ids.data(), a.distances.data(), a.tokens.data(), a.counts.data(), static_cast<uint32_t>(capacity)};
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.threads = way.threads;
    if (way.figures) {
        a.figures.resize(s.batch);
        call.figures = a.figures.data();
    }
    CHECK_OK(rtd_search_and_fuse(index, &queryMatrix, &logitMatrix, c.rows.data(), c.rows.size(), &call, &hits, a.statuses.data()));
    for (size_t b = 0; b < s.batch; ++b)
        for (size_t v = 0; v < stride; ++v) {
            const float l = isHalf ? oracle::fromF16(halves[b * stride + v]) : logits[b * stride + v];
            if (v < s.vocabulary)
                a.logits.push_back(l);
            else
                CHECK_EQUAL(l, isHalf ? oracle::roundTo(RTD_F16, kSentinel) : kSentinel);
        }
    for (size_t r = rows; pad && r-- > 0;) {  // cut to k, after seeing that what lies beyond is padding
        for (size_t i = s.k; i < capacity; ++i) {
            CHECK_EQUAL(a.ids[r * capacity + s.k], RTD_NO_ID);
            a.ids.erase(a.ids.begin() + static_cast<ptrdiff_t>(r * capacity + s.k));
            a.distances.erase(a.distances.begin() + static_cast<ptrdiff_t>(r * capacity + s.k));
            a.tokens.erase(a.tokens.begin() + static_cast<ptrdiff_t>(r * capacity + s.k));
        }
    }
    return a;
}

namespace {

std::vector<std::vector<oracle::Hit>> hitsOf(const Case& c, size_t b) {
    std::vector<std::vector<oracle::Hit>> heads(c.shape.heads);
    for (uint32_t h = 0; h < c.shape.heads; ++h)
        if (!(c.rows[b].flags & RTD_ROW_SKIP)) heads[h] = oracle::nearest(c.data, &c.queries[b * c.shape.dim], h, c.rows[b]);
    return heads;
}

std::map<int32_t, float> biasOf(const rtd_row_options& row) {
    std::map<int32_t, float> bias;
    for (size_t i = 0; i < row.bias_count; ++i) bias[row.bias_tokens[i]] = row.bias_values[i];
    return bias;
}

oracle::Fused fusedOf(const Case& c, size_t b, const std::vector<std::vector<oracle::Hit>>& heads) {
    const rtd_row_options& row = c.rows[b];
    const auto begin = c.logits.begin() + static_cast<ptrdiff_t>(b * c.shape.vocabulary);
    return oracle::fuse({begin, begin + c.shape.vocabulary}, heads, row.flags & RTD_ROW_SKIP ? 0 : row.reference_weight, row.temperature,
                        (row.flags & RTD_ROW_UNMASK) != 0, biasOf(row), row.flags & RTD_ROW_SKIP ? nullptr : row.gate);
}

}  // namespace

Answer expected(const Case& c, rtd_dtype logitsDtype) {
    Answer a;
    for (size_t b = 0; b < c.shape.batch; ++b) {
        const std::vector<std::vector<oracle::Hit>> heads = hitsOf(c, b);
        for (const std::vector<oracle::Hit>& hits : heads) {
            a.counts.push_back(static_cast<uint32_t>(hits.size()));
            for (size_t i = 0; i < c.shape.k; ++i) {
                a.ids.push_back(i < hits.size() ? hits[i].id : RTD_NO_ID);
                a.distances.push_back(i < hits.size() ? hits[i].distance : INFINITY);
                a.tokens.push_back(i < hits.size() ? hits[i].token : RTD_NO_TOKEN);
            }
        }
        const oracle::Fused fused = fusedOf(c, b, heads);
        a.statuses.push_back(fused.status);
        a.figures.push_back(c.rows[b].flags & RTD_ROW_SKIP ? rtd_row_figures{INFINITY, 0, 0, NAN, 0, 0} : fused.figures);
        for (const float l : fused.logits) a.logits.push_back(logitsDtype == RTD_F16 ? oracle::roundTo(RTD_F16, l) : l);
    }
    return a;
}

void checkSame(const Answer& got, const Answer& want) {
    CHECK_SAME_BITS(got.counts, want.counts);
    CHECK_SAME_BITS(got.ids, want.ids);
    CHECK_SAME_BITS(got.distances, want.distances);
    CHECK_SAME_BITS(got.tokens, want.tokens);
    CHECK_SAME_BITS(got.statuses, want.statuses);
    for (size_t b = 0; b < got.figures.size(); ++b) {
        const rtd_row_figures &g = got.figures[b], &w = want.figures.at(b);
        CHECK(std::isnan(g.model_entropy) == std::isnan(w.model_entropy));
        const auto values = [](const rtd_row_figures& f) {
            return std::vector<double>{f.nearest,          f.hit_entropy, f.largest_vote, std::isnan(f.model_entropy) ? 0 : f.model_entropy,
                                       f.reference_weight, f.temperature};
        };
        CHECK_SAME_BITS(values(g), values(w));
    }
    for (size_t i = 0; i < want.logits.size(); ++i)  // a NaN may come back with another payload where float16 was widened
        if (!(std::isnan(got.logits.at(i)) && std::isnan(want.logits[i])))
            test::checkSameBits<float>({got.logits[i]}, {want.logits[i]}, ("logit " + std::to_string(i)).c_str(), "expected", __FILE__, __LINE__);
        else if (const size_t b = i * want.statuses.size() / want.logits.size(); want.statuses[b] == RTD_ROW_MERGED)  // whatever is expected
            throw test::Failure("logit " + std::to_string(i) + " is NaN, and row " + std::to_string(b) + " is merged");
}

void checkEverywhere(const Case& c) {
    const Answer want = expected(c, RTD_F32), wantHalf = expected(c, RTD_F16);
    for (const char* backend : usableBackends()) {
        const std::string where = std::string("back end ") + backend + ", " + c.shape.text() + ": ";
        try {
            const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads, backend));
            fillIndex(index, c);
            checkSame(run(index, c, {backend, 1}), want);
            checkSame(run(index, c, {backend, 3, RTD_F16, true}), wantHalf);
            checkSame(run(index, c, {backend, 2, RTD_F32, false, true}), want);
        } catch (const std::exception& error) { throw test::Failure(where + error.what()); }
    }
}

void checkForeignHits(const Case& c) {
    if (c.shape.batch == 0) return;
    const TestIndex index(indexOptions(c.shape.dim, c.shape.metric, c.shape.dtype, c.shape.heads));
    fillIndex(index, c);
    Answer want = run(index, c, {nullptr}), got = want;
    got.logits = c.logits;
    const rtd_mutable_matrix logits = mutableMatrixOf(got.logits, c.shape.vocabulary);
    const rtd_hits hits = {nullptr, want.distances.data(), want.tokens.data(), want.counts.data(), c.shape.k};
    CHECK_OK(rtd_fuse(&hits, c.shape.heads, &logits, c.rows.data(), c.rows.size(), got.statuses.data()));
    checkSame(got, want);
}

double worstUlp(const Case& c) {
    double worst = 0;
    for (size_t b = 0; b < c.shape.batch; ++b) {
        const oracle::Fused fused = fusedOf(c, b, hitsOf(c, b));
        for (size_t v = 0; v < fused.exact.size(); ++v) {
            const long double exact = fused.exact[v];
            if (fused.logits[v] == c.logits[b * c.shape.vocabulary + v] || exact < fused.lse - 690) continue;  // p' below 1e-300
            const auto size = static_cast<float>(std::max({fabsl(exact), fabsl(fused.lse), 1.0L}));
            const auto unit = static_cast<long double>(std::nextafter(size, INFINITY) - size);
            const auto ulp = static_cast<double>(fabsl(static_cast<long double>(fused.logits[v]) - exact) / unit);
            CHECK(!std::isnan(ulp));  // which max() would drop
            worst = std::max(worst, ulp);
        }
    }
    return worst;
}
