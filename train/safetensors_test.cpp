#include "train/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/idx_test_files.h"

namespace lcnn::train {
namespace {

using nlohmann::json;

std::string bytes_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A safetensors file by the format's definition, written without the code under test.
std::string file_of(const std::string& header, const std::string& data) {
  std::string length(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(length.data(), &size, 8);
  return length + header + data;
}

class Safetensors : public testing::Test {
 protected:
  std::string refusal(const std::string& bytes) const {
    write_bytes(file_, bytes);
    try {
      read_safetensors(file_);
    } catch (const std::runtime_error& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with(file_ + ": ")) << message;
      return message.substr(std::min(message.size(), file_.size() + 2));
    }
    return "was accepted";
  }

  TemporaryFolder folder_;
  const std::string file_ = folder_ / "f.safetensors";
  const TensorFile content_{.metadata = {{"key", "a \"value\""}},
                            .tensors = {{"bytes", "U8", {3}, "abc"}, {"scalar", "I64", {}, std::string(8, '\7')},
                                        {"matrix", "F32", {2, 1}, std::string(8, '\1')}, {"none", "I32", {0, 5}, ""}}};
};

TEST_F(Safetensors, AreWrittenAsTheFormatSays) {
  write_safetensors(file_, content_);
  const std::string bytes = bytes_of(file_);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  ASSERT_LE(length, bytes.size() - 8);
  EXPECT_EQ(length % 8, 0u) << "data start aligned";
  const json header = json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["__metadata__"], json({{"key", "a \"value\""}}));
  EXPECT_EQ(header["matrix"]["dtype"], "F32");
  EXPECT_EQ(header["matrix"]["shape"], json({2, 1}));
  EXPECT_EQ(header["scalar"]["shape"], json::array());
  for (const StoredTensor& tensor : content_.tensors) {
    const std::uint64_t begin = header[tensor.name]["data_offsets"][0], end = header[tensor.name]["data_offsets"][1];
    EXPECT_EQ(bytes.substr(8 + length + begin, end - begin), tensor.bytes) << tensor.name;
  }
  EXPECT_EQ(bytes.size(), 8 + length + 19) << "no holes, nothing behind";
}

TEST_F(Safetensors, WhatIsWrittenIsRead) {
  write_safetensors(file_, content_);
  const TensorFile read = read_safetensors(file_);
  EXPECT_EQ(read.metadata, content_.metadata);
  ASSERT_EQ(read.tensors.size(), content_.tensors.size());
  for (const StoredTensor& tensor : content_.tensors) {
    const StoredTensor* const found = read.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->type, tensor.type);
    EXPECT_EQ(found->shape, tensor.shape);
    EXPECT_EQ(found->bytes, tensor.bytes);
  }
  EXPECT_EQ(read.find("other"), nullptr);
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"f.safetensors"}) << "nothing is left beside it";
}

TEST_F(Safetensors, EveryTruncationIsNoticed) {
  write_safetensors(file_, content_);
  const std::string bytes = bytes_of(file_);
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(refusal(bytes.substr(0, size)), "was accepted") << size;
  EXPECT_EQ(refusal(bytes.substr(0, 5)), "it is no safetensors file: it has fewer than 8 bytes");
  EXPECT_EQ(refusal(bytes.substr(0, 40)), "it is truncated: it ends within its header");
  EXPECT_EQ(refusal(bytes.substr(0, bytes.size() - 4)), "it is truncated: 15 of 19 bytes of tensors are there");
  EXPECT_EQ(refusal(bytes + "x"), "it goes on behind its 19 bytes of tensors");
}

TEST_F(Safetensors, DamageIsNamed) {
  EXPECT_EQ(refusal("some text, longer than 8 bytes"), "it is no safetensors file");
  EXPECT_EQ(refusal(file_of("{\"a\":", "")), "it is damaged: its header is no JSON object");
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"F32"}})", "")), "it is damaged: its header's entry a is incomplete");
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", "xx")),
            "a is of type BF16: F32, F64, I32, I64 and U8 are read");
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "xxxx")),
            "it is damaged: the offsets of a do not fit its shape");
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"U8","shape":[4611686018427387904,16],"data_offsets":[0,0]}})", "")),
            "it is damaged: the offsets of a do not fit its shape");
  EXPECT_EQ(refusal(file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "xxx")),
            "it is damaged: its tensors overlap or leave holes");
}

TEST_F(Safetensors, MissingFileAndUnwritablePlaceAreNamed) {
  EXPECT_THROW(
      try { read_safetensors(folder_ / "none"); } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), folder_ / "none" + ": it cannot be read: No such file or directory");
        throw;
      },
      std::runtime_error);
  EXPECT_THROW(
      try { write_safetensors(folder_ / "none/f", content_); } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), folder_ / "none/f" + ": it cannot be written: No such file or directory");
        throw;
      },
      std::runtime_error);
}

}  // namespace
}  // namespace lcnn::train
