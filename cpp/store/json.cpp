#include "store/json.h"

#include <charconv>
#include <cmath>
#include <set>

namespace rtd::store::json {
namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }

void appendUtf8(std::string& out, uint32_t point) {
    const auto push = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (point < 0x80) return push(point);
    if (point < 0x800) {
        push(0xC0 | point >> 6);
    } else {
        if (point < 0x10000) {
            push(0xE0 | point >> 12);
        } else {
            push(0xF0 | point >> 18);
            push(0x80 | (point >> 12 & 0x3F));
        }
        push(0x80 | (point >> 6 & 0x3F));
    }
    push(0x80 | (point & 0x3F));
}

}  // namespace

void Reader::reject(const std::string& message) const { throw SyntaxError(at_, "byte " + std::to_string(at_) + ": " + message); }

void Reader::skipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
}

char Reader::peek() {
    skipSpace();
    if (at_ == text_.size()) reject("the text ends too early");
    return text_[at_];
}

bool Reader::take(char expected) {
    if (peek() != expected) return false;
    ++at_;
    return true;
}

void Reader::expect(char expected, const char* what) {
    if (!take(expected)) reject(std::string("expected ") + what);
}

void Reader::object(const std::function<void(const std::string& key)>& member) {
    expect('{', "an object");
    if (++depth_ > kMaxDepth) reject("nested too deeply");
    std::set<std::string> seen;  // a tree: no choice of keys makes it slow
    if (!take('}')) {
        do {
            const auto key = string();
            if (!seen.insert(key).second) reject("the key " + quote(key) + " comes twice");
            expect(':', "a colon");
            member(key);
        } while (take(','));
        expect('}', "a comma or the end of the object");
    }
    --depth_;
}

void Reader::array(const std::function<void()>& item) {
    expect('[', "an array");
    if (++depth_ > kMaxDepth) reject("nested too deeply");
    if (!take(']')) {
        do item();
        while (take(','));
        expect(']', "a comma or the end of the array");
    }
    --depth_;
}

std::string Reader::string() {
    expect('"', "a string");
    std::string out;
    for (;;) {
        if (at_ == text_.size()) reject("the text ends inside a string");
        const char c = text_[at_];
        if (c == '"') break;
        if (c == '\\') {
            escape(out);
        } else {
            codePoint(out);
        }
    }
    ++at_;
    return out;
}

uint32_t Reader::hexQuad() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
        if (at_ == text_.size()) reject("the text ends inside a string");
        const char c = text_[at_];
        const char lower = static_cast<char>(c | 0x20);
        if (!isDigit(c) && !(lower >= 'a' && lower <= 'f')) reject("expected four hexadecimal digits");
        value = value << 4 | static_cast<uint32_t>(isDigit(c) ? c - '0' : lower - 'a' + 10);
    }
    return value;
}

void Reader::escape(std::string& out) {
    if (++at_ == text_.size()) reject("the text ends inside a string");
    static constexpr std::string_view kNames = "\"\\/bfnrt", kBytes = "\"\\/\b\f\n\r\t";
    const char c = text_[at_];
    if (const size_t simple = kNames.find(c); simple != std::string_view::npos) {
        out.push_back(kBytes[simple]);
        ++at_;
        return;
    }
    if (c != 'u') reject("no such escape");
    ++at_;
    uint32_t point = hexQuad();
    if (point >= 0xDC00 && point < 0xE000) reject("half of a surrogate pair");
    if (point >= 0xD800 && point < 0xDC00) {
        if (text_.substr(at_, 2) != "\\u") reject("half of a surrogate pair");
        at_ += 2;
        const uint32_t low = hexQuad();
        if (low < 0xDC00 || low >= 0xE000) reject("half of a surrogate pair");
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    appendUtf8(out, point);
}

// One character of a string as it stands. UTF-8's own rules: shortest form, no surrogates, nothing over U+10FFFF.
void Reader::codePoint(std::string& out) {
    const auto byteAt = [&](size_t i) { return i < text_.size() ? static_cast<unsigned char>(text_[i]) : 0u; };
    const unsigned first = byteAt(at_);
    if (first < 0x20) reject("a control character in a string");
    size_t length = 1;
    if (first >= 0x80) {
        length = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
        bool good = length != 0;
        for (size_t i = 1; i < length; ++i) good = good && byteAt(at_ + i) >> 6 == 2;
        const unsigned second = byteAt(at_ + 1);
        if (first == 0xE0) good = good && second >= 0xA0;
        if (first == 0xED) good = good && second < 0xA0;
        if (first == 0xF0) good = good && second >= 0x90;
        if (first == 0xF4) good = good && second < 0x90;
        if (!good) reject("broken UTF-8");
    }
    out.append(text_, at_, length);
    at_ += length;
}

std::string_view Reader::numberText() {
    skipSpace();
    const size_t begin = at_;
    const auto here = [&] { return at_ < text_.size() ? text_[at_] : '\0'; };
    const auto digits = [&] {
        if (!isDigit(here())) reject("expected a digit");
        while (isDigit(here())) ++at_;
    };
    if (here() == '-') ++at_;
    if (here() == '0') {
        ++at_;
    } else {
        digits();
    }
    if (here() == '.') {
        ++at_;
        digits();
    }
    if (here() == 'e' || here() == 'E') {
        ++at_;
        if (here() == '+' || here() == '-') ++at_;
        digits();
    }
    return text_.substr(begin, at_ - begin);
}

uint64_t Reader::integer() {
    const auto digits = numberText();
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value > kMaxInteger) reject("expected an integer of 0..2^53");
    return value;
}

double Reader::number() {
    const auto digits = numberText();
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value)) reject("a number that a double cannot hold");
    return value;
}

void Reader::word(std::string_view literal) {
    if (text_.substr(at_, literal.size()) != literal) reject("expected a value");
    at_ += literal.size();
}

bool Reader::null() {
    if (peek() != 'n') return false;
    word("null");
    return true;
}

void Reader::skipValue() {
    switch (peek()) {
        case '{':
            return object([&](const std::string&) { skipValue(); });
        case '[':
            return array([&] { skipValue(); });
        case '"':
            return static_cast<void>(string());
        case 't':
            return word("true");
        case 'f':
            return word("false");
        case 'n':
            return word("null");
        default:
            numberText();
    }
}

std::string_view Reader::raw() {
    skipSpace();
    const size_t begin = at_;
    skipValue();
    return text_.substr(begin, at_ - begin);
}

std::string_view Reader::rawObject() {
    if (peek() != '{') reject("expected an object");
    return raw();
}

void Reader::end() {
    skipSpace();
    if (at_ != text_.size()) reject("expected nothing more");
}

std::string quote(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(c);
        } else if (static_cast<unsigned char>(c) < 0x20) {
            static constexpr char kHex[] = "0123456789abcdef";
            out += "\\u00";
            out.push_back(kHex[c >> 4]);
            out.push_back(kHex[c & 15]);
        } else {
            out.push_back(c);
        }
    }
    out.push_back('"');
    return out;
}

}  // namespace rtd::store::json
