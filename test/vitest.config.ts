import { defineConfig } from "vitest/config";

export default defineConfig({
    test: {
        root: new URL("..", import.meta.url).pathname,
        include: ["test/**/*.test.ts"],
        pool: "forks", // one process a file: some tests look at the process, and a crash names its file
        testTimeout: process.env["RTD_SANITIZED"] ? 300_000 : 60_000,
        hookTimeout: 60_000,
    },
});
