/// <reference lib="esnext.disposable" preserve="true" />
/**
 * node-rtd: Reference Trustable Decoding (arXiv 2409.20181), exact and training-free adaptation of local language models.
 * @module
 */
export { backends } from "./backends.js";
export {
    Datastore,
    type AppendOptions,
    type CreateStoreOptions,
    type JsonObject,
    type OpenStoreOptions,
    type SearchSpace,
    type StoreFile,
    type StoreManifest,
} from "./datastore.js";
export { RtdError, type RtdErrorCode } from "./errors.js";
export {
    classify,
    type Classification,
    type ClassifyOptions,
    type ClassReference,
    type Question,
} from "./evaluation/classify.js";
export { evaluate, type EvaluateOptions, type Evaluation } from "./evaluation/index.js";
export { fitSpace, type FitSpaceOptions } from "./fit-space.js";
export type { MismatchField, ModelFingerprint } from "./fingerprint.js";
export { fuse, fuseSync, logProbabilities } from "./fusion.js";
export {
    attach,
    type AttachOptions,
    type Decision,
    type ReferenceOptions,
    type Rule,
    type RuleRow,
    type Step,
} from "./llama/attach.js";
export { Attachment, type AttachmentStats } from "./llama/attachment.js";
export { fingerprintModel, type FingerprintOptions } from "./llama/fingerprint.js";
export type { LoraAdapter } from "./llama/lora.js";
export type { Layer } from "./llama/layer.js";
export { createRecorder, record, Recorder, type Recorded, type RecorderOptions, type RecordOptions } from "./llama/record.js";
export { supported, type LlamaSupport } from "./llama/support.js";
export type { FileReport } from "./native.js";
export { buildDatastore, type BuildOptions, type BuildReport, type Progress } from "./recipes/build.js";
export type { Cut } from "./recipes/cut.js";
export type { Task } from "./recipes/data.js";
export type { Pooling } from "./recipes/label.js";
export type { Spellings } from "./recipes/spelling.js";
export { createIndex, ReferenceIndex } from "./reference-index.js";
export type { Part, Report, Section } from "./report/description.js";
export { evaluationReport } from "./report/evaluation.js";
export { writeReport } from "./report/file.js";
export { htmlOf } from "./report/page.js";
export { provenanceOf, type Provenance } from "./report/provenance.js";
export { tuningReport } from "./report/tuning.js";
export { fitTransform, type FitMethod, type FitTransformOptions, type KeyTransform } from "./transform.js";
export { tune, type TuneOptions, type TuneReport } from "./tuning/tune.js";
export type * from "./types.js";
