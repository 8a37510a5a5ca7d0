// JSON for the two places a store has it, its manifest and the headers of its segments: RFC 8259 read strictly, in one pass, from a text whose
// size the caller has bounded.
//
// There is no tree of values. The reader walks the text and the caller says what it expects next, so a hostile text costs no more memory than
// its keys do, and a sub-object that is none of our business (the model, the metadata) is checked and handed back as it stands.
// Refused beyond the grammar: keys given twice, nesting over kMaxDepth, broken UTF-8, lone surrogates, integers that a double cannot hold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>

namespace rtd::store::json {

constexpr int kMaxDepth = 64;
constexpr uint64_t kMaxInteger = uint64_t{1} << 53;

struct SyntaxError : std::exception {
    SyntaxError(size_t offset_, std::string message_) : offset(offset_), message(std::move(message_)) {}
    const char* what() const noexcept override { return message.c_str(); }

    size_t offset;        // of the byte that does not fit
    std::string message;  // begins with "byte <offset>: "
};

class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    // An object: `member` is called for each key and must read its value.
    void object(const std::function<void(const std::string& key)>& member);
    // An array: `item` is called for each item and must read it.
    void array(const std::function<void()>& item);
    std::string string();
    uint64_t integer();  // 0..2^53, written without fraction and exponent
    double number();     // finite
    bool null();         // reads a null if one is next

    std::string_view raw();        // any value, checked, as it stands
    std::string_view rawObject();  // an object

    void end();  // nothing but white space is left

    // For a value that was read well but is not what it should be.
    [[noreturn]] void reject(const std::string& message) const;

  private:
    void skipSpace();
    char peek();
    bool take(char expected);
    void expect(char expected, const char* what);
    void word(std::string_view literal);
    std::string_view numberText();
    uint32_t hexQuad();
    void escape(std::string& out);
    void codePoint(std::string& out);
    void skipValue();

    std::string_view text_;
    size_t at_ = 0;
    int depth_ = 0;
};

// The text as a JSON string, quotes included. The text must be UTF-8.
std::string quote(std::string_view text);

}  // namespace rtd::store::json
