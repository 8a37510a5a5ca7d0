// Faults of logic that a test must notice, each by the text of the line that it breaks. break_kernel.cpp compiles them all into one kernel, which has
// none of them until rtd::emulation::device.fault says which.
#pragma once
#include <string_view>

struct Fault {
    const char* name;
    const char* file;        // in cuda/
    std::string_view where;  // a text that the file has once
    std::string_view right;  // an expression that begins in it
    std::string_view wrong;  // empty: it is left out
};

constexpr Fault kFaults[] = {
    // ---- tiles, pieces and keys ----
    {"the last tile is lost unless it is whole", "scan.cuh", "return ceilDiv(run.end", "ceilDiv(run.end, C::kTileKeys)", "run.end / C::kTileKeys"},
    {"a ticket is a tile too short", "scan.cuh", "return {first + begin", "first + end", "first + end - 1"},
    {"every run begins where the first does", "scan.cuh", "const Run run = isOwn", "a.runs[r]", "a.runs[0]"},
    {"a piece too many of slices that are whole pieces", "scan.cuh", "if ((at.begin +=", "(at.begin += kPieceBytes) < a.layout.headBytes",
     "(at.begin += kPieceBytes) <= a.layout.headBytes"},
    {"the last key is not copied", "scan.cuh", "isWithin && first + key", "first + key < a.entries", "first + key + 1 < a.entries"},
    {"a key beyond the last is a hit", "scan.cuh", "const bool isMeant", "tiles.entries.end - tiles.entries.begin",
     "tiles.entries.end - tiles.entries.begin + 1"},
    {"keys before a run are hits", "scan.cuh", "const bool isMeant", "id - tiles.entries.begin", "id"},
    {"queries are not cut off where their head ends", "scan.cuh", "const bool isValid =", "b < a.batch && element < a.headDim", "b < a.batch"},
    {"the queries of the first group in every group", "scan.cuh", "at.query = (at.group", "at.group * C::kQueries", "0"},
    {"the next ticket is that of the tile before", "scan.cuh", "const Tiles tiles = shape.tilesAt<C>(a, at", "at.ticket",
     "at.ticket ? at.ticket - 1 : 0"},

    // ---- the ring of copies ----
    {"the wait for copies is left out", "scan.cuh", "copyWait<C::kStages - 2>", "copyWait<C::kStages - 2>()", ""},
    {"the wait leaves a group too many under way", "scan.cuh", "copyWait<C::kStages - 2>();", "copyWait<C::kStages - 2>()",
     "copyWait<C::kStages - 1>()"},
    {"the ring has a stage too few", "scan.cuh", "at.stage = at.stage + 1", "at.stage + 1 == C::kStages", "at.stage + 2 >= C::kStages"},
    {"groups of copies are not closed", "scan.cuh", "copyCommit();", "copyCommit()", ""},

    // ---- transforms ----
    {"the last dimensions have no image", "transform.cuh", "return a.transform.mean ?", "(a.headDim * a.layout.heads + each - 1) / each",
     "a.headDim * a.layout.heads / each"},
    {"keys and queries are not centred alike", "transform.cuh", "sum[r][c] = fmaRn(", "mean[c]", "0.0f"},
    {"a matrix is transposed", "transform.cuh", "const float* weights = a", "static_cast<size_t>(dimension)", "static_cast<size_t>(0)"},
    {"the first queries' images in place of others'", "transform.cuh", "const uint32_t b = first", "first + lane / 8", "lane / 8"},
    {"queries are scaled by one another's numbers", "transform.cuh", "mulRn(subRn(", "b * a.givenStride", "uint64_t{0}"},
    {"a query without a finite image is merged", "transform.cuh", "if (subRn(value", "subRn(value, value) != 0.0f", "false"},
    {"queries are searched for before they are there", "search_fuse.cuh", "return loadAcquire(&a.workspace.control->transformed",
     "loadAcquire(&a.workspace.control->transformed) == s.counts.transforms", "true"},
    {"seeds are measured before queries are there", "search_fuse.cuh", "awaitQueries(a, s);  // whose", "awaitQueries(a, s)", ""},
    {"queries are projected before they are there", "search_fuse.cuh", "awaitQueries(a, s);  // which it projects", "awaitQueries(a, s)", ""},
    {"queries are scanned for before they are there", "search_fuse.cuh", "awaitQueries(a, s);  // which keys", "awaitQueries(a, s)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&a.workspace.rows[b", "storeRelaxed(&a.workspace.rows[b * a.layout.heads].notFinite, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.transformed", "storeRelaxed(&control.transformed, 0u)", ""},

    // ---- seeds ----
    {"the k-th seed bars itself", "seeds.cuh", "maxRelaxed(", "~(hits[k - 1] + 1)", "~hits[k - 1]"},
    {"seeds that are no hits bound a row", "seeds.cuh", "accepts(a, b, entry)", "accepts(a, b, entry)", "true"},
    {"too few seeds bound a row", "seeds.cuh", "if (found < k)", "found < k", "found == 0"},

    // ---- what is a hit ----
    {"the bit of the entry beside it", "scan.cuh", "a.removed && a.removed[", "a.removed[id / 32] >> id % 32", "a.removed[id / 32] >> (id + 1) % 32"},
    {"removed entries are hits", "scan.cuh", "if (a.removed &&", "a.removed && a.removed[id / 32] >> id % 32 & 1", "false"},
    {"the distance threshold is ignored", "scan.cuh", "return distanceOf(entry, a.isRoot)", "distanceOf(entry, a.isRoot) <= a.rows[b].maxDistance",
     "true"},
    {"namespaces are searched beyond the one that fits", "scan.cuh", "accepted[i] < space", "accepted[i] < space", "accepted[i] <= space"},
    {"rows that want nothing are searched", "scan.cuh", "b < a.batch && a.rows[b].k > 0", "b < a.batch && a.rows[b].k > 0", "b < a.batch"},

    // ---- the pool ----
    {"the bound rejects ties with smaller ids", "pool.cuh", "maxRelaxed(&state.invertedBound", "~bound", "~(bound >> 32 << 32)"},
    {"the wait for other writers is left out", "pool.cuh", "if (tid == 0) spinUntil(",
     "spinUntil([&] { return loadAcquire(&state.committed) == at; })", ""},
    {"an entry too many fits", "pool.cuh", "if (at + n <= roomOf", "at + n <= roomOf(a, row)", "at + n <= roomOf(a, row) + 1"},
    {"a cut loses one of the k nearest", "pool.cuh", "i = tid; i < k;", "i < k", "i + 1 < k"},
    {"a cut loses what did not fit before it", "pool.cuh", "i = room + tid; i < n", "i < n", "i + 1 < n"},
    {"a cut says that it kept too little", "pool.cuh", "storeRelaxed(&state.committed", "k + n - room", "k"},
    {"offers are not emptied", "pool.cuh", "s.offerCount[tid] = 0;  //", "s.offerCount[tid] = 0", ""},
    {"the block that must cut waits for another", "pool.cuh", "s.reservation[q] != kSettled && s.res", "s.reservation[q] != kSettled",
     "q == kSettled"},

    // ---- cascades ----
    {"queries are prepared before their projections are there", "search_fuse.cuh", "return loadAcquire(&control.projected",
     "loadAcquire(&control.projected) == tickets.projects", "true"},
    {"keys are sifted before queries are prepared", "search_fuse.cuh", "return loadAcquire(&a.workspace.control->prepared",
     "loadAcquire(&a.workspace.control->prepared) == tickets.prepares", "true"},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.projected", "storeRelaxed(&control.projected, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.prepared", "storeRelaxed(&control.prepared, 0u)", ""},
    {"what is given up is not scanned", "search_fuse.cuh", "if (!isShare || left", "!isShare || left.begin < left.end", "!isShare"},
    {"the last share goes beyond its segment", "sift.cuh", "s.sift.share = {segment", "rest < a.cascade.shareKeys", "false"},
    {"outliers are ruled out", "levels.cuh", "if (norm == kOutlierNorm)", "norm == kOutlierNorm", "false"},
    {"half of a query is left out", "levels.cuh", "return (static_cast<uint32_t>(high)", "static_cast<uint32_t>(low)", "0u"},
    {"half of a query is left out", "tensor.cuh", "static_cast<uint32_t>(sums[1]", "static_cast<uint32_t>(sums[1][n][i])", "0u"},
    {"copies of codes close no group", "tensor.cuh", "copyCommit", "copyCommit()", ""},
    {"the wait for codes is left out", "tensor.cuh", "copyWait<0>", "copyWait<0>()", ""},
    {"a tile's other half", "tensor.cuh", "key - group + row, q, sum", "key - group + row", "(key - group + row) ^ 16"},
    {"nothing is as near as the bound", "sift.cuh", "return roundedUp(distances", "distances.radius(value)", "0.5 * distances.radius(value)"},
    {"keys are taken twice", "sift.cuh", "        score = kTaken", "score = kTaken", ""},
    {"the last round is left out", "sift.cuh", "&& ++round > kRounds", "++round > kRounds", "++round >= kRounds"},
    {"what a level rules out is the rest", "sift.cuh", "lane % 8 == 0 && lower <= s", "lower <= s.sift.limit[columnOf(entry)]",
     "lower < s.sift.limit[columnOf(entry)] / 2"},

    // ---- selection ----
    {"the selection stops a digit early", "select.cuh", "if (s.inDigit == need)", "s.inDigit == need", "s.inDigit >= need"},
    {"what lies below the digit is counted again", "select.cuh", "need -= s.below", "need -= s.below", ""},
    {"the sort ends before its last merge", "select.cuh", "size = 2; size <= n", "size <= n", "size < n"},
    {"places beyond the hits are not filled", "merge.cuh", "i = found + tid", "hits[i] = kWorst", ""},

    // ---- who merges ----
    {"blocks are waited for that may not be resident", "search_fuse.cuh",
     "loadRelaxed(&control.started) !=", "loadRelaxed(&control.started) != gridSize()", "false"},
    {"the wait for the last blocks is left out", "search_fuse.cuh", "spinUntil([&] { return loadAcquire(&control.arrived)",
     "spinUntil([&] { return loadAcquire(&control.arrived) == gridSize(); })", ""},
    {"the last row is not merged", "search_fuse.cuh", "if (mergeTicket >= mergeTickets) break", "mergeTicket >= mergeTickets",
     "mergeTicket + 1 >= mergeTickets"},

    // ---- the merge of a row by several blocks ----
    {"every block merges that cut a part", "merge.cuh", "if (tid == 0) s.broadcast = addAcquireRelease(&a.workspace.rows[row].partsDone",
     "addAcquireRelease(&a.workspace.rows[row].partsDone, 1u) + 1 == a.mergeParts",
     "addAcquireRelease(&a.workspace.rows[row].partsDone, 1u) < a.mergeParts"},
    {"a last part that is shorter is lost", "merge.cuh", "return whole * kept", "rest < kept ? rest : kept", "0u"},
    {"what a cut leaves is looked for where it was", "merge.cuh", "areOne() ? i : i / kept", "i / kept * length + i % kept", "i"},

    // ---- the workspace as it was found ----
    {"no reset", "merge.cuh", "storeRelaxed(&state.partsDone", "storeRelaxed(&state.partsDone, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.ticket", "storeRelaxed(&control.ticket, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.started", "storeRelaxed(&control.started, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.arrived", "storeRelaxed(&control.arrived, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.merging", "storeRelaxed(&control.merging, 0u)", ""},
    {"no reset", "search_fuse.cuh", "storeRelaxed(&control.left", "storeRelaxed(&control.left, 0u)", ""},
    {"no reset", "merge.cuh", "storeRelaxed(&state.invertedBound", "storeRelaxed(&state.invertedBound, uint64_t{0})", ""},
    {"no reset", "merge.cuh", "storeRelaxed(&state.reserved", "storeRelaxed(&state.reserved, 0u)", ""},
    {"no reset", "merge.cuh", "storeRelaxed(&state.committed", "storeRelaxed(&state.committed, 0u)", ""},
    {"no reset", "merge.cuh", "shares, 0u)", "0u", "1u"},
    {"no reset", "merge.cuh", "storeRelaxed(&a.workspace.rows[first].headsDone", "storeRelaxed(&a.workspace.rows[first].headsDone, 0u)", ""},

    // ---- vote and merge ----
    {"infinite distances vote", "merge.cuh", "valueOf(hits[i]) < positiveInfinity()", "valueOf(hits[i]) < positiveInfinity()", "true"},
    {"the last step of a token's sum is left out", "merge.cuh", "step = 1; step < n", "step < n", "2 * step < n"},
    {"every hit of a token rewrites its logit", "merge.cuh", "if (isFirstOfToken(hits, i)) rewrite", "isFirstOfToken(hits, i)", "true"},
    {"a weight of 1 leaves the other logits", "merge.cuh", "a.rows[b].weight >= 1.0f", "a.rows[b].weight >= 1.0f", "false"},
    {"a head's votes are not shared out", "merge.cuh", "divRn(r, static_cast<double>(heads))", "divRn(r, static_cast<double>(heads))", "r"},
    {"a NaN is seen by its lane only", "logits.cuh", "isBad = ballot(isBad) != 0", "ballot(isBad) != 0", "isBad"},
    {"masked logits come back", "logits.cuh", "logit == negativeInfinity() && !row.unmask", "logit == negativeInfinity() && !row.unmask", "false"},
};
