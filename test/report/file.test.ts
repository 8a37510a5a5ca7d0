import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

import { writeReport, type Report } from "../../lib/index.js";
import { expectReportFile } from "../../lib/report/file.js";

const folder = mkdtempSync(join(tmpdir(), "rtd-report-"));
afterAll(() => rmSync(folder, { recursive: true }));
const report: Report = { title: "A \u{1f41d} report", summary: [], sections: [] };

describe("a report's file", () => {
    it("is the page, in UTF-8, in place of what was there", async () => {
        const path = join(folder, "report.html");
        writeFileSync(path, "x".repeat(100_000));
        await writeReport(path, report);
        expect(readFileSync(path, "utf8")).toMatch(/^<!DOCTYPE html>\n<html lang="en">[^]*A \u{1f41d} report[^]*<\/html>\n$/u);
        const link = join(folder, "link.html");
        symlinkSync("report.html", link);
        await writeReport(link, { ...report, title: "Another" });
        expect(readFileSync(path, "utf8")).toContain("Another");
        await writeReport(join(folder, `${"n".repeat(250)}.html`), report); // the longest name there can be
        expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
    });

    it.each([
        ["a folder", "folder", "ERR_RTD_INVALID_ARGUMENT", "this is a folder"],
        ["in a folder that is not there", "gone/report.html", "ERR_RTD_NOT_FOUND", "there is no folder"],
        ["in a file", "file/report.html", "ERR_RTD_NOT_FOUND", "there is no folder"],
    ])("is refused where its path is %s", async (_, name, code, message) => {
        mkdirSync(join(folder, "folder"), { recursive: true });
        writeFileSync(join(folder, "file"), "");
        const path = join(folder, name);
        for (const call of [() => expectReportFile(path), () => writeReport(path, report)])
            await expect(call()).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
    });

    it("is refused where it is none", async () => {
        await expect(expectReportFile("")).rejects.toMatchObject({ code: "ERR_RTD_INVALID_ARGUMENT" });
        await expect(expectReportFile("/dev/null")).rejects.toMatchObject({ code: "ERR_RTD_INVALID_ARGUMENT" });
    });

    it.runIf(process.platform === "linux")("says why it cannot be written, and leaves nothing behind", async () => {
        const failure = { code: expect.stringMatching(/^ERR_RTD_(IO|PERMISSION)$/) as string, name: "RtdError" };
        await expect(writeReport("/proc/report.html", report)).rejects.toMatchObject({
            ...failure,
            message: expect.stringContaining("/proc/report.html: the report cannot be written") as string,
        });
    });
});
