// Queries and logits that lie on the device, at once and by a plan, against the oracle; on whichever device the program has.
#include <algorithm>
#include <cstring>
#include <thread>

#include "../core/through.h"
#include "../harness.h"
#include "tested_backend.h"

namespace {

using rtd::gpu::Buffer;
using rtd::gpu::Device;

Device& device() {
    static const std::unique_ptr<Device> opened = testedDevice();
    return *opened;
}

template <typename T>
void upload(Buffer& buffer, const std::vector<T>& from) {
    buffer.need(std::max<size_t>(1, from.size() * sizeof(T)));
    device().upload(buffer.data(), from.data(), from.size() * sizeof(T));
    device().synchronize();
}

template <typename T>
std::vector<T> download(const Buffer& buffer, size_t count) {
    std::vector<T> to(count);
    device().download(to.data(), buffer.data(), count * sizeof(T));
    device().synchronize();
    return to;
}

// Rows of a case's matrix on the device, in f32 or f16, `pad` elements apart and `offset` behind where wide copies want them.
class DeviceMatrix {
  public:
    DeviceMatrix(const std::vector<float>& values, size_t columns, rtd_dtype dtype = RTD_F32, size_t pad = 0, size_t offset = 0)
        : columns_(columns), rows_(columns ? values.size() / columns : 0), dtype_(dtype), offset_(offset), stride_(columns + pad) {
        std::vector<float> apart(offset_ + rows_ * stride_, kSentinel);
        for (size_t r = 0; r < rows_; ++r) std::copy_n(&values[r * columns], columns, &apart[offset_ + r * stride_]);
        std::vector<uint16_t> halves;
        for (const float v : apart) halves.push_back(oracle::toF16(v));
        if (dtype == RTD_F16)
            upload(buffer_, halves);
        else
            upload(buffer_, apart);
    }
    rtd_matrix view() const { return {data(), rows_, columns_, stride_, dtype_}; }
    rtd_mutable_matrix mutableView() { return {data(), rows_, columns_, stride_, dtype_}; }
    std::vector<float> read() const {
        const size_t all = offset_ + rows_ * stride_;
        std::vector<float> apart, values;
        if (dtype_ == RTD_F16)
            for (const uint16_t half : download<uint16_t>(buffer_, all)) apart.push_back(oracle::fromF16(half));
        else
            apart = download<float>(buffer_, all);
        for (size_t i = 0; i < all; ++i)
            if (i >= offset_ && (i - offset_) % stride_ < columns_)
                values.push_back(apart[i]);
            else
                CHECK_EQUAL(apart[i], kSentinel);
        return values;
    }

  private:
    static constexpr float kSentinel = 12344;  // which f16 holds too
    void* data() const {
        const size_t elementBytes = dtype_ == RTD_F16 ? 2 : 4;
        return buffer_.data<std::byte>() + offset_ * elementBytes;
    }

    size_t columns_, rows_;
    rtd_dtype dtype_;
    size_t offset_, stride_;
    Buffer buffer_{device(), "a matrix"};
};

struct DeviceWay {
    rtd_dtype queries = RTD_F32, logits = RTD_F32;
    size_t pad = 0, offset = 0;
};

class TestPlan {
  public:
    TestPlan(rtd_index* index, uint32_t rows, uint32_t k, uint32_t vocabulary) {
        rtd_plan_options options{};
        options.struct_size = sizeof options;
        options.max_rows = rows;
        options.max_k = k;
        options.vocabulary = vocabulary;
        CHECK_OK(rtd_plan_create(index, &options, &plan_));
    }
    TestPlan(const TestPlan&) = delete;
    TestPlan& operator=(const TestPlan&) = delete;
    ~TestPlan() { rtd_plan_release(plan_); }
    operator rtd_plan*() const { return plan_; }

  private:
    rtd_plan* plan_ = nullptr;
};

Answer runAtOnce(const rtd_index* index, const Case& c, const DeviceWay& way) {
    const Shape& s = c.shape;
    const DeviceMatrix queries(c.queries, s.dim, way.queries, way.pad, way.offset);
    DeviceMatrix logits(c.logits, s.vocabulary, way.logits, way.pad, way.offset);
    const size_t rows = size_t{s.batch} * s.heads;
    Answer a;
    a.ids.resize(rows * s.k), a.distances.resize(rows * s.k), a.tokens.resize(rows * s.k), a.counts.resize(rows), a.statuses.resize(s.batch);
    const rtd_matrix queryMatrix = queries.view();
    const rtd_mutable_matrix logitMatrix = logits.mutableView();
    const rtd_hits hits = {a.ids.data(), a.distances.data(), a.tokens.data(), a.counts.data(), s.k};
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.memory = RTD_MEMORY_DEVICE;
    CHECK_OK(rtd_search_and_fuse(index, &queryMatrix, &logitMatrix, c.rows.data(), c.rows.size(), &call, &hits, a.statuses.data()));
    a.logits = logits.read();
    return a;
}

Answer runPlan(rtd_plan* plan, const Case& c, const DeviceWay& way) {
    const Shape& s = c.shape;
    const DeviceMatrix queries(c.queries, s.dim, way.queries, way.pad, way.offset);
    DeviceMatrix logits(c.logits, s.vocabulary, way.logits, way.pad, way.offset);
    const size_t rows = size_t{s.batch} * s.heads;
    Buffer ids(device(), "ids"), distances(device(), "distances"), tokens(device(), "tokens"), counts(device(), "counts"),
        statuses(device(), "statuses");
    for (Buffer* buffer : {&ids, &distances, &tokens, &counts, &statuses}) buffer->need(std::max<size_t>(1, rows * s.k * 4));
    const rtd_matrix queryMatrix = queries.view();
    const rtd_mutable_matrix logitMatrix = logits.mutableView();
    const rtd_hits hits = {ids.data<uint32_t>(), distances.data<float>(), tokens.data<int32_t>(), counts.data<uint32_t>(), s.k};
    CHECK_OK(rtd_plan_enqueue(plan, &queryMatrix, &logitMatrix, &hits, statuses.data<rtd_row_status>()));
    device().onStream(nullptr)->synchronize();  // the plan's stream
    return {download<uint32_t>(ids, rows * s.k),
            download<uint32_t>(counts, rows),
            download<float>(distances, rows * s.k),
            logits.read(),
            download<int32_t>(tokens, rows * s.k),
            download<rtd_row_status>(statuses, s.batch),
            {}};
}

void setRows(rtd_plan* plan, const Case& c) { CHECK_OK(rtd_plan_set_rows(plan, c.rows.data(), c.rows.size())); }

// Queries become what f16 holds where they are given so; false where that is infinite.
bool roundQueries(Case& c, rtd_dtype dtype) {
    for (float& q : c.queries) q = oracle::roundTo(dtype, q);
    return std::all_of(c.queries.begin(), c.queries.end(), [](float q) { return std::isfinite(q); });
}

template <typename Body>
void inCase(const Case& c, Body&& body) {
    try {
        body();
    } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + c.shape.text()); }
}

rtd_index_options optionsOf(const Shape& s) { return indexOptions(s.dim, s.metric, s.dtype, s.heads, testedBackend()); }

TEST("device pointers: random cases, at once and by a plan") {
    std::mt19937_64 random(11);
    for (uint64_t i = 0; i < 60; ++i) {
        Shape shape = randomShape(random);
        if (shape.entries > 5000) shape.entries = 1500;
        Case c = makeCase(shape, i, false);
        const DeviceWay way = {i % 3 ? RTD_F32 : RTD_F16, i % 4 ? RTD_F32 : RTD_F16, i % 2 * 3, i % 5 == 0};
        if (!roundQueries(c, way.queries)) continue;
        inCase(c, [&] {
            const TestIndex index(optionsOf(c.shape));
            fillIndex(index, c);
            const Answer want = expected(c, way.logits);
            checkSame(runAtOnce(index, c, way), want);
            if (shape.batch < 1 || shape.batch > RTD_PLAN_MAX_ROWS) return;
            const TestPlan plan(index, shape.batch, shape.k, shape.vocabulary);
            setRows(plan, c);
            for (int again = 0; again < 2; ++again) checkSame(runPlan(plan, c, way), want);
        });
    }
}

rtd_index_options throughOptions(const ThroughCase& c, const rtd_transform& transform, rtd_cascade cascade = RTD_CASCADE_AUTO) {
    const Shape& s = c.searched.shape;
    rtd_index_options options = indexOptions(c.through.inputs, s.metric, s.dtype, s.heads, testedBackend());
    options.transform = &transform;
    options.cascade = cascade;
    return options;
}

TEST("transforms: random cases from the host, at once and by a plan") {
    std::mt19937_64 random(17);
    for (uint64_t i = 0; i < 60; ++i) {
        Shape shape = randomShape(random);
        if (shape.entries > 5000) shape.entries = 1500;
        if (i % 4 == 0) shape.dim = shape.heads * static_cast<uint32_t>(120 + random() % 150);
        const DeviceWay way = {i % 3 ? RTD_F32 : RTD_F16, i % 4 ? RTD_F32 : RTD_F16, i % 2 * 3, i % 5 == 0};
        const ThroughCase c = makeThroughCase(shape, randomInputs(random, shape), i, false, way.queries);
        const rtd_transform transform = c.through.view();
        try {
            const TestIndex index(throughOptions(c, transform, i % 2 ? RTD_CASCADE_ALWAYS : RTD_CASCADE_OFF));
            fillIndex(index, c.given);
            if (i % 2) CHECK_OK(rtd_index_seal(index, nullptr));
            const Answer want = expected(c.searched, way.logits);
            checkSame(run(index, c.given, {testedBackend(), 1, way.logits, i % 3 == 0}), want);
            checkSame(runAtOnce(index, c.given, way), want);
            if (shape.batch < 1 || shape.batch > RTD_PLAN_MAX_ROWS) continue;
            const TestPlan plan(index, shape.batch, shape.k, shape.vocabulary);
            setRows(plan, c.given);
            for (int again = 0; again < 2; ++again) checkSame(runPlan(plan, c.given, way), want);
        } catch (const std::exception& error) { throw test::Failure(std::string(error.what()) + "\n    in: " + c.text()); }
    }
}

TEST("transforms: a query on the device without a finite image stays as it was, one of the host is refused") {
    for (const uint32_t inputs : {0u, 20u}) {
        Shape shape;
        shape.batch = 3;
        shape.dim = 24;
        shape.heads = inputs ? 1 : 2;
        ThroughCase c = makeThroughCase(shape, inputs, 2, true);
        std::fill(c.through.weights.begin(), c.through.weights.end(), 1e10f);
        for (float& key : c.given.given) key *= 1e-10f;
        const auto searched = [&](const std::vector<float>& rows, std::vector<float>& images) {
            images.clear();
            for (size_t at = 0; at < rows.size(); at += c.through.inputs) {
                const std::vector<float> image = oracle::imageOf(c.through.view(), &rows[at]);
                images.insert(images.end(), image.begin(), image.end());
            }
        };
        searched(c.given.given, c.searched.data.keys);
        searched(c.given.queries, c.searched.queries);
        const rtd_transform transform = c.through.view();
        const TestIndex index(throughOptions(c, transform));
        fillIndex(index, c.given);
        const Answer want = expected(c.searched, RTD_F32);
        const TestPlan plan(index, shape.batch, shape.k, shape.vocabulary);
        setRows(plan, c.given);
        for (const float number : {NAN, INFINITY, 2e30f}) {
            Case broken = c.given;
            broken.queries[c.through.inputs + 7] = number;
            checkSameButBroken(runAtOnce(index, broken, {}), want, c.searched, 1);
            checkSameButBroken(runPlan(plan, broken, {}), want, c.searched, 1);
            std::vector<float> logits = c.given.logits;
            const rtd_matrix queries = matrixOf(broken.queries, c.through.inputs);
            const rtd_mutable_matrix logitMatrix = mutableMatrixOf(logits, shape.vocabulary);
            CHECK_EQUAL(rtd_search_and_fuse(index, &queries, &logitMatrix, broken.rows.data(), broken.rows.size(), nullptr, nullptr, nullptr),
                        RTD_NOT_FINITE);
            const std::string message = rtd_last_error(), under = "under the transform; queries must be finite";
            CHECK(message.starts_with("query 1 holds "));
            CHECK_EQUAL(message.ends_with(under), std::isfinite(number));
            CHECK_SAME_BITS(logits, c.given.logits);
        }
        checkSame(runPlan(plan, c.given, {}), want);
        checkSame(runAtOnce(index, c.given, {}), want);
    }
}

TEST("device pointers: one plan takes batches of any size up to its own, in any order") {
    Shape shape;
    shape.vocabulary = 2000;
    shape.batch = 64;
    const Case all = makeCase(shape, 2, true);
    const TestIndex index(optionsOf(shape));
    fillIndex(index, all);
    const TestPlan plan(index, 64, 32, shape.vocabulary);
    CHECK_OK(rtd_plan_set_rows(plan, all.rows.data(), 1));
    for (const uint32_t batch : {64u, 1u, 17u, 4u, 0u, 5u, 64u}) {
        Case c = all;
        c.shape.batch = batch;
        c.queries.resize(batch * shape.dim);
        c.logits.resize(batch * shape.vocabulary);
        c.rows.resize(batch);
        inCase(c, [&] { checkSame(runPlan(plan, c, {}), expected(c, RTD_F32)); });
    }
}

TEST("device pointers: a plan keeps the entries and options it was shown until it is shown others") {
    Shape shape;
    shape.entries = 1000;
    shape.dim = 24;
    Case now = makeCase(shape, 3, true);
    Case before = now;
    before.shape.entries = 6;  // fewer than k
    before.data.tokens.resize(6);
    before.data.keys.resize(6 * shape.dim);
    before.given.resize(6 * shape.dim);
    before.data.namespaces.resize(6);
    before.data.removed.resize(6);
    const TestIndex index(optionsOf(shape));
    fillIndex(index, before);
    const uint32_t first = 1, second = 5;
    CHECK_OK(rtd_index_remove(index, &first, 1));
    before.data.removed[first] = now.data.removed[first] = now.data.removed[second] = true;
    const TestPlan plan(index, 3, 8, shape.vocabulary);
    setRows(plan, before);
    const Answer old = expected(before, RTD_F32), latest = expected(now, RTD_F32);
    checkSame(runPlan(plan, before, {}), old);

    const rtd_matrix more = {now.given.data() + 6 * shape.dim, 994, shape.dim, 0, RTD_F32};
    CHECK_OK(rtd_index_add(index, &more, now.data.tokens.data() + 6, nullptr, nullptr));
    CHECK_OK(rtd_index_remove(index, &second, 1));
    checkSame(runAtOnce(index, now, {}), latest);  // the device holds the new entries
    checkSame(runPlan(plan, before, {}), old);
    CHECK_OK(rtd_plan_refresh(plan));
    checkSame(runPlan(plan, now, {}), latest);
    for (rtd_row_options& row : now.rows) row.k = 3, row.temperature = 1, row.reference_weight = 0.9f;
    setRows(plan, now);
    checkSame(runPlan(plan, now, {}), expected(now, RTD_F32));
}

TEST("device pointers: the default temperature is the index's when the plan was last refreshed") {
    Shape shape;
    Case c = makeCase(shape, 4, true);
    for (rtd_row_options& row : c.rows) row.temperature = 0;
    const TestIndex index(optionsOf(shape));
    fillIndex(index, c);
    const TestPlan plan(index, 3, 8, shape.vocabulary);
    CHECK_EQUAL(rtd_plan_set_rows(plan, c.rows.data(), c.rows.size()), RTD_NO_TEMPERATURE);
    CHECK_OK(rtd_index_seal(index, nullptr));
    CHECK_EQUAL(rtd_plan_set_rows(plan, c.rows.data(), c.rows.size()), RTD_NO_TEMPERATURE);
    CHECK_OK(rtd_plan_refresh(plan));
    setRows(plan, c);
    rtd_index_info info{};
    info.struct_size = sizeof info;
    CHECK_OK(rtd_index_get_info(index, &info));
    Case resolved = c;
    for (rtd_row_options& row : resolved.rows) row.temperature = info.temperature;
    checkSame(runPlan(plan, c, {}), expected(resolved, RTD_F32));
}

// Rows 0, 2, ... get a number that is not finite in one of their heads, row 1 stays.
void checkBroken(float number, rtd_dtype queries, const Shape& shape) {
    Case c = makeCase(shape, 6, true);
    roundQueries(c, queries);
    Case broken = c;
    for (uint32_t b = 0; b < shape.batch; b += 2) broken.queries[b * shape.dim + (b * 29 + shape.dim - 1) % shape.dim] = number;
    const TestIndex index(optionsOf(shape));
    fillIndex(index, c);
    const TestPlan plan(index, shape.batch, shape.k, shape.vocabulary);
    setRows(plan, c);
    const Answer want = expected(c, RTD_F32);
    for (const Answer& got : {runAtOnce(index, broken, {queries}), runPlan(plan, broken, {queries})})
        for (uint32_t b = 0; b < shape.batch; ++b) {
            const auto row = [&](const std::vector<float>& logits) {
                const auto begin = logits.begin() + static_cast<ptrdiff_t>(b * shape.vocabulary);
                return std::vector<float>(begin, begin + shape.vocabulary);
            };
            const bool isBroken = b % 2 == 0;
            CHECK_EQUAL(got.statuses[b], isBroken ? RTD_ROW_UNMERGEABLE : RTD_ROW_MERGED);
            CHECK_SAME_BITS(row(got.logits), row(isBroken ? c.logits : want.logits));
        }
    checkSame(runPlan(plan, c, {queries}), want);
}

TEST("device pointers: a row whose query is not finite stays as it was, the others are merged") {
    Shape shape;
    shape.batch = 6;
    shape.heads = 4;
    shape.dim = 4 * 35;
    for (const uint32_t vocabulary : {50u, 3000u}) {
        shape.vocabulary = vocabulary;
        for (const float number : {NAN, INFINITY, -INFINITY})
            for (const rtd_dtype queries : {RTD_F32, RTD_F16}) inCase(makeCase(shape, 6, true), [&] { checkBroken(number, queries, shape); });
    }
}

TEST("device pointers: a plan searches only, or gives only what is asked for") {
    Shape shape;
    Case c = makeCase(shape, 8, true);
    const TestIndex index(optionsOf(shape));
    fillIndex(index, c);
    const Answer want = expected(c, RTD_F32);
    const DeviceMatrix queries(c.queries, shape.dim);
    const rtd_matrix queryMatrix = queries.view();
    Buffer ids(device(), "ids");
    ids.need(want.ids.size() * 4);
    const rtd_hits hits = {ids.data<uint32_t>(), nullptr, nullptr, nullptr, shape.k};

    const TestPlan searching(index, 3, shape.k, 0), fusing(index, 3, shape.k, shape.vocabulary);
    for (rtd_plan* plan : {static_cast<rtd_plan*>(searching), static_cast<rtd_plan*>(fusing)}) {
        setRows(plan, c);
        device().zero(ids.data(), ids.bytes());
        device().synchronize();
        CHECK_OK(rtd_plan_enqueue(plan, &queryMatrix, nullptr, &hits, nullptr));
        device().onStream(nullptr)->synchronize();
        CHECK_SAME_BITS(download<uint32_t>(ids, want.ids.size()), want.ids);
    }
    DeviceMatrix logits(c.logits, shape.vocabulary);
    const rtd_mutable_matrix logitMatrix = logits.mutableView();
    CHECK_OK(rtd_plan_enqueue(fusing, &queryMatrix, &logitMatrix, nullptr, nullptr));
    device().onStream(nullptr)->synchronize();
    CHECK_SAME_BITS(logits.read(), want.logits);
}

TEST("device pointers: threads that share a plan wait for one another") {
    Shape shape;
    const Case c = makeCase(shape, 9, true);
    const TestIndex index(optionsOf(shape));
    fillIndex(index, c);
    const TestPlan plan(index, 3, shape.k, shape.vocabulary);
    setRows(plan, c);
    constexpr size_t kThreads = 4, kCalls = 8;
    std::vector<std::unique_ptr<DeviceMatrix>> logits;
    for (size_t i = 0; i < kThreads * kCalls; ++i) logits.push_back(std::make_unique<DeviceMatrix>(c.logits, shape.vocabulary));
    const DeviceMatrix queries(c.queries, shape.dim);
    std::vector<std::thread> threads;
    std::atomic<int> failures = 0;
    for (size_t t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            for (size_t i = 0; i < kCalls; ++i) {
                const rtd_matrix queryMatrix = queries.view();
                const rtd_mutable_matrix matrix = logits[t * kCalls + i]->mutableView();
                failures += rtd_plan_enqueue(plan, &queryMatrix, &matrix, nullptr, nullptr) != RTD_OK;
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(failures.load(), 0);
    device().onStream(nullptr)->synchronize();
    const Answer want = expected(c, RTD_F32);
    for (const auto& matrix : logits) CHECK_SAME_BITS(matrix->read(), want.logits);
}

void checkRefused(rtd_status got, rtd_status want, const char* part) {
    CHECK_EQUAL(got, want);
    const std::string message = rtd_last_error();
    if (message.find(part) == std::string::npos) throw test::Failure("the message is \"" + message + "\" without \"" + part + "\"");
}

TEST("device pointers: a CPU back end refuses them, says so, and reaches nothing") {
    const TestIndex index(indexOptions(4, RTD_L2, RTD_F32, 1, "serial"));
    float query[4] = {}, logits[4] = {};
    const rtd_matrix queries = {query, 1, 4, 0, RTD_F32};
    const rtd_mutable_matrix logitMatrix = {logits, 1, 4, 0, RTD_F32};
    const rtd_row_options row = rowOptions(1, 0.5f, 1);
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.memory = RTD_MEMORY_DEVICE;
    checkRefused(rtd_search_and_fuse(index, &queries, &logitMatrix, &row, 1, &call, nullptr, nullptr), RTD_UNSUPPORTED, "\"serial\"");
    const uint32_t unknown = 2;
    std::memcpy(&call.memory, &unknown, sizeof unknown);
    checkRefused(rtd_search_and_fuse(index, &queries, &logitMatrix, &row, 1, &call, nullptr, nullptr), RTD_INVALID_ARGUMENT, "memory is 2");
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = options.max_k = 1;
    rtd_plan* plan = nullptr;
    checkRefused(rtd_plan_create(index, &options, &plan), RTD_UNSUPPORTED, "call rtd_search_and_fuse instead");
    int reaches = 7;
    CHECK_OK(rtd_index_reaches(index, query, &reaches));
    CHECK_EQUAL(reaches, 0);
}

TEST("device pointers: what a plan was not made for is refused and changes nothing") {
    Shape shape;
    Case c = makeCase(shape, 10, true);
    const TestIndex index(optionsOf(shape));
    fillIndex(index, c);
    rtd_plan_options options{};
    options.struct_size = sizeof options;
    options.max_rows = 3;
    options.max_k = shape.k;
    options.vocabulary = shape.vocabulary;
    rtd_plan* made = nullptr;
    const auto refuses = [&](auto change, rtd_status status, const char* part) {
        rtd_plan_options wrong = options;
        change(wrong);
        checkRefused(rtd_plan_create(index, &wrong, &made), status, part);
        CHECK(made == nullptr);
    };
    refuses([](auto& o) { o.max_rows = 65; }, RTD_INVALID_ARGUMENT, "max_rows is 65; give 1..64");
    refuses([](auto& o) { o.max_k = 0; }, RTD_INVALID_ARGUMENT, "max_k is 0");
    refuses([&](auto& o) { o.vocabulary = 1; }, RTD_TOKEN_RANGE, "the logits have 1 columns");

    const TestPlan plan(index, 3, shape.k, shape.vocabulary);
    DeviceMatrix queries(c.queries, shape.dim), logits(c.logits, shape.vocabulary);
    const rtd_matrix q = queries.view();
    const rtd_mutable_matrix l = logits.mutableView();
    checkRefused(rtd_plan_enqueue(plan, &q, &l, nullptr, nullptr), RTD_INVALID_ARGUMENT, "call rtd_plan_set_rows");
    checkRefused(rtd_plan_set_rows(plan, c.rows.data(), 4), RTD_INVALID_ARGUMENT, "4 row options");
    rtd_row_options deep = rowOptions(shape.k + 1, 0.5f, 1);
    checkRefused(rtd_plan_set_rows(plan, &deep, 1), RTD_INVALID_ARGUMENT, "at most 8");
    CHECK_OK(rtd_plan_set_rows(plan, c.rows.data(), 2));
    checkRefused(rtd_plan_enqueue(plan, &q, &l, nullptr, nullptr), RTD_INVALID_ARGUMENT, "3 queries, but row options for 2");
    setRows(plan, c);

    rtd_mutable_matrix wrong = l;
    wrong.columns -= 1;
    checkRefused(rtd_plan_enqueue(plan, &q, &wrong, nullptr, nullptr), RTD_INVALID_ARGUMENT, "a vocabulary of 50");
    wrong = l;
    wrong.rows = 2;
    checkRefused(rtd_plan_enqueue(plan, &q, &wrong, nullptr, nullptr), RTD_INVALID_ARGUMENT, "logits has 2 rows, not 3");
    uint32_t id = 0;
    const rtd_hits few = {&id, nullptr, nullptr, nullptr, shape.k - 1};
    checkRefused(rtd_plan_enqueue(plan, &q, &l, &few, nullptr), RTD_INVALID_ARGUMENT, "room for 7 a row");
    CHECK_SAME_BITS(logits.read(), c.logits);
    checkSame(runPlan(plan, c, {}), expected(c, RTD_F32));
}

TEST("rows with a bias or gate, and figures, are the host's: on the device they are refused, and nothing is changed") {
    Case c = makeCase(Shape{}, 1, true);
    const Shape& s = c.shape;
    const TestIndex index(indexOptions(s.dim, RTD_L2, RTD_F32, 1, testedBackend()));
    fillIndex(index, c);
    const TestPlan plan(index, s.batch, s.k, s.vocabulary), searching(index, s.batch, s.k, 0);
    const DeviceMatrix queries(c.queries, s.dim, RTD_F32, 0, 0);
    DeviceMatrix logits(c.logits, s.vocabulary, RTD_F32, 0, 0);
    const rtd_matrix queryMatrix = queries.view();
    const rtd_mutable_matrix logitMatrix = logits.mutableView();
    rtd_call_options call{};
    call.struct_size = sizeof call;
    call.memory = RTD_MEMORY_DEVICE;
    const auto fuse = [&] { return rtd_search_and_fuse(index, &queryMatrix, &logitMatrix, c.rows.data(), c.rows.size(), &call, nullptr, nullptr); };
    const auto isRefused = [](rtd_status status, const char* advice) {
        return status == RTD_UNSUPPORTED && std::string(rtd_last_error()).find(advice) != std::string::npos;
    };
    std::vector<rtd_row_figures> figures(s.batch);
    call.figures = figures.data();
    CHECK(isRefused(fuse(), "figures are taken on the host"));
    call.figures = nullptr;
    const rtd_gate gate = {sizeof gate, 0.5f, 0, 0, 0, 0};
    const int32_t token = 3;
    const float value = 1;
    rtd_row_options &row = c.rows[1], plain = row, biased = row;
    row.gate = &gate;
    biased.bias_tokens = &token;
    biased.bias_values = &value;
    biased.bias_count = 1;
    for (const rtd_row_options& other : {row, biased}) {
        row = other;
        CHECK(isRefused(fuse(), "row options 1 have a bias or gate"));
        CHECK(isRefused(rtd_plan_set_rows(plan, c.rows.data(), c.rows.size()), "rtd_fuse merge"));
        CHECK_OK(rtd_plan_set_rows(searching, c.rows.data(), c.rows.size()));  // which merges nothing
    }
    CHECK_SAME_BITS(logits.read(), c.logits);
    row = plain;
    CHECK_OK(fuse());
}

}  // namespace
