// The strict reader: what it takes, what it refuses, and that no text whatever makes it do anything else.
#include "store/json.h"

#include <random>
#include <string>
#include <vector>

#include "harness.h"

namespace rtd::store::json {
namespace {

std::string raw(const std::string& text) {
    Reader reader(text);
    const std::string value(reader.raw());
    reader.end();
    return value;
}

bool refuses(const std::string& text) {
    try {
        raw(text);
        return false;
    } catch (const SyntaxError& error) { return error.offset <= text.size() && error.message.starts_with("byte "); }
}

std::string stringOf(const std::string& text) { return Reader(text).string(); }

TEST("json: values as they stand") {
    for (const std::string text : {"0", "-0", "1", "-12.5e+3", "1E9", "0.125", "true", "false", "null", "\"\"", "[]", "{}", "[1,[2],{\"a\":[]}]",
                                   "{ \"a\" : 1 ,\n\t\"b\" : [ ] }", "\"\\u0000\"", "1e999"})
        CHECK_EQUAL(raw(text), text);
    CHECK_EQUAL(raw(" \r\n\t[1, 2]  "), "[1, 2]");
}

TEST("json: what is not JSON is refused") {
    for (const std::string text :
         {"",           " ",        "01",          "-",         "+1",       ".5",     "1.",       "1e",      "1e+",      "0x1",
          "NaN",        "Infinity", "tru",         "nul",       "True",     "\"",     "\"a",      "'a'",     "\"\\\"",   "\"\\x41\"",
          "\"\\u12\"",  "\"\\u123", "\"\\u12g4\"", "\"\\",      "\"\n\"",   "\"\t\"", "\"\x01\"", "[",       "]",        "[1",
          "[1,",        "[1,]",     "[,1]",        "[1 2]",     "{",        "}",      "{\"a\"",   "{\"a\":", "{\"a\":1", "{\"a\":1,",
          "{\"a\":1,}", "{a:1}",    "{1:2}",       "{\"a\" 1}", "{\"a\":}", "1 2",    "[] []",    "/**/1",   "[1]//",    "\"a\" \"b\""})
        if (!refuses(text)) test::fail(__FILE__, __LINE__, "taken: " + text);
    CHECK(refuses(std::string("1\0", 2)));
    CHECK(refuses("\xEF\xBB\xBF{}"));  // a byte order mark is not white space
}

TEST("json: a key given twice is refused, in any spelling and any depth") {
    CHECK(refuses("{\"a\":1,\"a\":2}"));
    CHECK(refuses("{\"a\":1,\"\\u0061\":2}"));
    CHECK(refuses("[{\"x\":{\"\":1,\"b\":2,\"\":3}}]"));
    CHECK_EQUAL(raw("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), "{\"a\":{\"a\":1},\"b\":{\"a\":1}}");
}

TEST("json: depth is bounded") {
    const auto nested = [](int depth, const std::string& open, const std::string& close) {
        std::string text;
        for (int i = 0; i < depth; ++i) text += open;
        text += "1";
        for (int i = 0; i < depth; ++i) text += close;
        return text;
    };
    CHECK(!refuses(nested(kMaxDepth, "[", "]")));
    CHECK(refuses(nested(kMaxDepth + 1, "[", "]")));
    CHECK(!refuses(nested(kMaxDepth, "{\"a\":", "}")));
    CHECK(refuses(nested(kMaxDepth + 1, "{\"a\":", "}")));
    CHECK(refuses(std::string(4 << 20, '[')));
    CHECK(refuses(nested(1 << 20, "{\"a\":", "}")));
}

TEST("json: strings decode to UTF-8") {
    CHECK_EQUAL(stringOf("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "a\"\\/\b\f\n\r\t");
    CHECK_EQUAL(stringOf("\"\\u0041\\u00e4\\u20AC\\ud83d\\uDE00\""), "A\u00e4\u20ac\U0001F600");
    CHECK_EQUAL(stringOf("\"\u00e4\u20ac\U0001F600\U0010FFFF\""), "\u00e4\u20ac\U0001F600\U0010FFFF");
    for (const std::string bad : {"\\ud800", "\\udc00", "\\ud800x", "\\ud800\\n", "\\ud800\\u0041", "\\udbff\\udbff"})
        CHECK(refuses("\"" + bad + "\""));
}

TEST("json: broken UTF-8 is refused") {
    for (const std::string bad :
         {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80", "\xED\xBF\xBF",
          "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE"}) {
        CHECK(refuses("\"" + bad + "\""));
        CHECK(refuses("\"" + bad));
        CHECK(refuses("{\"" + bad + "\":1}"));
    }
}

TEST("json: numbers as the caller wants them") {
    CHECK_EQUAL(Reader("9007199254740992").integer(), kMaxInteger);
    CHECK_EQUAL(Reader("0").integer(), 0);
    for (const char* bad : {"9007199254740993", "18446744073709551616", "-1", "1.0", "1e3", "-0", "\"1\"", "null", ""}) {
        bool refused = false;
        try {
            Reader(bad).integer();
        } catch (const SyntaxError&) { refused = true; }
        if (!refused) test::fail(__FILE__, __LINE__, std::string("taken as an integer: ") + bad);
    }
    CHECK_EQUAL(Reader("-1.5e-3").number(), -1.5e-3);
    bool refused = false;
    try {
        Reader("1e999").number();
    } catch (const SyntaxError&) { refused = true; }
    CHECK(refused);
}

TEST("json: quoted text reads back") {
    std::string all;
    for (int c = 0; c < 0x80; ++c) all.push_back(static_cast<char>(c));
    all += "\u00e4\U0001F600";
    CHECK_EQUAL(stringOf(quote(all)), all);
}

// Any text is either refused or handed back whole.
TEST("json: random texts") {
    const std::vector<std::string> pieces = {"{", "}", "[", "]", ",",    ":",    "\"", "\\",      "a",       "\"a\"", "\"b\"",   "1",
                                             "-", "0", ".", "e", "true", "null", " ",  "\\u0041", "\\ud83d", "\x80",  "\xC3\xA4"};
    std::mt19937 random(2);
    int taken = 0;
    for (int round = 0; round < 50000; ++round) {
        std::string text;
        for (size_t n = random() % 12; n-- > 0;) text += pieces[random() % pieces.size()];
        if (!refuses(text)) {
            ++taken;
            CHECK(text.find(raw(text)) != std::string::npos);
        }
    }
    CHECK(taken > 100);
}

}  // namespace
}  // namespace rtd::store::json
