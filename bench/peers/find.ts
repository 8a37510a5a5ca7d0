import type { Missing } from "../optional.js";
import { faiss } from "./faiss.js";
import { hnswlib } from "./hnswlib.js";
import { isMissing, type Peer } from "./peer.js";
import { usearch } from "./usearch.js";

/** Every peer there is, or what is missing of it. */
export async function findPeers(): Promise<{ peers: Peer[]; missing: Missing[] }> {
    const found = (await Promise.all([usearch(), hnswlib(), faiss()])).flat();
    const isPeer = (one: Peer | Missing): one is Peer => !isMissing(one);
    return { peers: found.filter(isPeer), missing: found.filter(isMissing) };
}
