// A file as the characters of a JSON text, read in pieces: a report of 100,000 rows has hundreds of
// megabytes.
#pragma once

#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::reports {

class JsonFile {
 public:
  // Throws UnusableInput, one line, when the file cannot be read or is empty.
  explicit JsonFile(const std::string& path);

  // One pass over the characters; copies of an iterator move together.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    explicit Iterator(JsonFile* file) : file_(file) {}
    reference operator*() const { return *file_->next_; }
    Iterator& operator++() {
      if (++file_->next_ == file_->end_) file_->refill();
      return *this;
    }
    Iterator operator++(int) {
      ++*this;
      return *this;
    }
    bool operator==(const Iterator&) const {
      return file_->next_ == file_->end_;
    }  // only compared with end()
    bool operator!=(const Iterator&) const { return file_->next_ != file_->end_; }

   private:
    JsonFile* file_;
  };

  Iterator begin() { return Iterator(this); }
  Iterator end() { return Iterator(this); }

  // Passes over what is left of an array whose '[' was read last, up to its ']'; does not check that it is
  // JSON.
  void skip_array();

  // What of the file is in memory and was not passed; empty at its end.
  std::string_view chunk() const { return {next_, static_cast<std::size_t>(end_ - next_)}; }
  // Passes over the chunk and reads the next one.
  std::string_view next_chunk() {
    refill();
    return chunk();
  }

  // The line of the character that comes next, from 1.
  std::size_t line() const;
  // How many bytes lie before it.
  std::size_t offset() const { return bytes_before_ + static_cast<std::size_t>(next_ - buffer_.data()); }

  // What nlohmann's exception at this place says, as one line that names the file.
  std::string not_json(const std::string& error) const;

 private:
  void refill();

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::vector<char> buffer_;
  const char* next_ = nullptr;
  const char* end_ = nullptr;
  std::size_t bytes_before_ = 0, lines_before_ = 0;  // that ended before the buffer
};

}  // namespace lcnn::reports
