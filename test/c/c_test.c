/* The C interface from C: what a program without Node or C++ does with it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "rtd.h"

static int passed, failed;

static void check(int is_right, const char* what) {
    if (is_right) {
        ++passed;
    } else {
        ++failed;
        printf("FAILED %s; last error: %s\n", what, rtd_last_error());
    }
}
#define CHECK(condition) check((condition), #condition)

static int never(void* context) {
    ++*(int*)context;
    return 0;
}

/* Four keys, two of them near the query; the reference distribution moves the logits towards their token. */
static void search_and_fuse(void) {
    const float keys[4][3] = {{1, 0, 0}, {0, 1, 0}, {1, 0.1f, 0}, {9, 9, 9}};
    const int32_t tokens[4] = {3, 1, 3, 0};
    const uint32_t namespaces[4] = {0, 0, 7, 0}, only_seven[1] = {7}, removed[1] = {0};
    const float query[3] = {1, 0, 0};
    float logits[5] = {0, 0, 0, 0, 0}, distances[2];
    uint32_t ids[2], counts[1], first = 99;
    int32_t hit_tokens[2];
    int asked = 0;
    rtd_row_status status;
    rtd_index* index = NULL;
    rtd_index_options options;
    rtd_index_info info;
    rtd_row_options row;
    rtd_call_options call;
    rtd_matrix key_matrix = {keys, 4, 3, 0, RTD_F32}, query_matrix = {query, 1, 3, 0, RTD_F32};
    rtd_mutable_matrix logit_matrix = {logits, 1, 5, 0, RTD_F32};
    rtd_hits hits = {ids, distances, hit_tokens, counts, 2};

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.dim = 3;
    CHECK(rtd_index_create(&options, &index) == RTD_OK);
    CHECK(rtd_index_add(index, &key_matrix, tokens, namespaces, &first) == RTD_OK);
    CHECK(first == 0);

    memset(&row, 0, sizeof row);
    row.struct_size = sizeof row;
    row.k = 2;
    row.reference_weight = 0.5f;
    row.temperature = 1;
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.should_stop = never;
    call.context = &asked;
    CHECK(rtd_search_and_fuse(index, &query_matrix, &logit_matrix, &row, 1, &call, &hits, &status) == RTD_OK);
    CHECK(status == RTD_ROW_MERGED);
    CHECK(asked > 0);
    CHECK(counts[0] == 2 && ids[0] == 0 && ids[1] == 2);
    CHECK(distances[0] == 0 && distances[1] == 0.1f);
    CHECK(hit_tokens[0] == 3 && hit_tokens[1] == 3);
    CHECK(fabs(exp(logits[3]) / (exp(logits[3]) + 4) - (0.5 * 0.2 + 0.5)) < 1e-6);
    CHECK(logits[0] == 0 && logits[1] == 0 && logits[2] == 0 && logits[4] == 0);

    row.namespaces = only_seven;
    row.namespace_count = 1;
    CHECK(rtd_search(index, &query_matrix, &row, 1, NULL, &hits) == RTD_OK);
    CHECK(counts[0] == 1 && ids[0] == 2 && ids[1] == RTD_NO_ID && hit_tokens[1] == RTD_NO_TOKEN && isinf(distances[1]));

    CHECK(rtd_index_remove(index, removed, 1) == RTD_OK);
    CHECK(rtd_index_remove(index, removed, 1) == RTD_UNKNOWN_ID);
    CHECK(strstr(rtd_last_error(), "id 0") != NULL);
    CHECK(rtd_index_seal(index, NULL) == RTD_OK);
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    CHECK(rtd_index_get_info(index, &info) == RTD_OK);
    CHECK(info.entries == 4 && info.live == 3 && info.sealed == 4 && info.max_token == 3 && info.temperature > 0);
    rtd_index_release(index);
}

static void tables(void) {
    const rtd_backend_info* list = NULL;
    size_t count = 0, i;
    int has_serial = 0;
    CHECK(rtd_abi_version() == RTD_ABI_VERSION);
    CHECK(strcmp(rtd_status_name(RTD_NOT_FINITE), "not-finite") == 0);
    CHECK(rtd_backends(&list, &count) == RTD_OK);
    for (i = 0; i < count; ++i) {
        if (strcmp(list[i].name, "serial") == 0) has_serial = list[i].usable;
    }
    CHECK(has_serial);
}

/* Where no device serves, a plan says so and its release takes what it was given. */
static void plan_without_device(void) {
    rtd_index* index = NULL;
    rtd_plan* plan = NULL;
    rtd_index_options options;
    rtd_plan_options wanted;
    int reaches = 1;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.dim = 3;
    options.backend = "serial";
    CHECK(rtd_index_create(&options, &index) == RTD_OK);
    CHECK(rtd_index_reaches(index, &options, &reaches) == RTD_OK && reaches == 0);
    memset(&wanted, 0, sizeof wanted);
    wanted.struct_size = sizeof wanted;
    wanted.max_rows = 1;
    wanted.max_k = 1;
    CHECK(rtd_plan_create(index, &wanted, &plan) == RTD_UNSUPPORTED);
    CHECK(strstr(rtd_last_error(), "\"serial\"") != NULL);
    rtd_plan_release(plan);
    rtd_index_release(index);
}

int main(void) {
    tables();
    search_and_fuse();
    plan_without_device();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
