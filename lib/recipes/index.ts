export { buildDatastore, type BuildOptions, type BuildReport, type Progress } from "./build.js";
export { cutRows, shuffle, type Cut } from "./cut.js";
export { readRows, tasks, type Message, type Row, type Task } from "./data.js";
export { type Label } from "./spelling.js";
export { fusionDefaults, recipeOf, type FusionDefaults, type RecipeMetadata, type Source } from "./metadata.js";
export { loadModel, type LoadModelOptions } from "./model.js";
