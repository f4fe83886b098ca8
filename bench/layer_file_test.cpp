#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/test_support.h"
#include "bench/workload.h"

namespace lcnn::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class LayerFile : public testing::Test {
 protected:
  std::vector<Layer> layers_of(const std::string& text) {
    write_text(path(), text);
    return layers_from_file(path());
  }
  std::string path() const { return folder_ / "mine.json"; }

  TemporaryFolder folder_;
};

// A valid layer with one field replaced, or added, by `field`: "\"kernel\": 5".
std::string layer_with(const std::string& field) {
  const std::string name = field.substr(0, field.find(':'));
  std::string text;
  for (const char* given : {"\"in_channels\": 8", "\"out_channels\": 6", "\"kernel\": 3", "\"height\": 7",
                            "\"width\": 9", "\"dictionary_size\": 4", "\"sparsity\": 1"}) {
    if (!std::string(given).starts_with(name + ":")) text += std::string(given) + ", ";
  }
  return "[{" + text + field + "}]";
}

// Every required field but one.
std::string layer_without(const std::string& field) {
  std::string text;
  for (const char* required :
       {"in_channels", "out_channels", "kernel", "height", "width", "dictionary_size"}) {
    if (required != field) text += fmt::format("{}\"{}\": 4", text.empty() ? "" : ", ", required);
  }
  return "[{" + text + "}]";
}

TEST_F(LayerFile, TheDesignsExampleIsReadAsItStands) {
  const std::vector<Layer> layers = layers_of(
      R"([{"name": "odd", "in_channels": 37, "out_channels": 53, "kernel": [3,5], "stride": [2,1],
           "padding": [2,3], "dilation": [1,2], "groups": 1, "height": 29, "width": 41, "batch": 3,
           "bias": true, "dictionary_size": 11, "sparsity": 2, "granularity": "vector"}])");
  ASSERT_EQ(layers.size(), 1u);
  const Layer& layer = layers[0];
  EXPECT_EQ(layer.path(), "mine/odd");
  EXPECT_EQ(layer.conv, (Conv2dProblem{.batch = 3,
                                       .in_channels = 37,
                                       .height = 29,
                                       .width = 41,
                                       .out_channels = 53,
                                       .kernel = {3, 5},
                                       .stride = {2, 1},
                                       .padding = {2, 3},
                                       .dilation = {1, 2},
                                       .groups = 1,
                                       .bias = true}));
  EXPECT_EQ(layer.granularity, Granularity::vector);
  EXPECT_THAT(layer.dictionaries, ElementsAre(Dictionary{"d11s2", 11, 2}));
  EXPECT_THAT(layer.batches, ElementsAre(3));
}

TEST_F(LayerFile, WhatIsAbsentTakesConv2dsDefaults) {
  const std::vector<Layer> layers = layers_of(
      R"([{"in_channels": 8, "out_channels": 6, "kernel": 3, "height": 7, "width": 9,
           "dictionary_size": 4}])");
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].conv, (Conv2dProblem{.batch = 1,
                                           .in_channels = 8,
                                           .height = 7,
                                           .width = 9,
                                           .out_channels = 6,
                                           .kernel = {3, 3},
                                           .stride = {1, 1},
                                           .padding = {0, 0},
                                           .dilation = {1, 1},
                                           .groups = 1,
                                           .bias = true}));
  EXPECT_EQ(layers[0].name, "layer0");
  EXPECT_EQ(layers[0].granularity, Granularity::vector);
  EXPECT_THAT(layers[0].dictionaries, ElementsAre(Dictionary{"d4s1", 4, 1}));
}

TEST_F(LayerFile, EveryOptionalFieldIsRead) {
  const std::vector<Layer> layers = layers_of(layer_with(R"("stride": [3, 2], "padding": 1, "dilation": 2,
      "groups": 2, "batch": 5, "bias": false, "granularity": "filter")"));
  const Layer& layer = layers.at(0);
  EXPECT_EQ(layer.conv.stride, (Pair{3, 2}));
  EXPECT_EQ(layer.conv.padding, (Pair{1, 1}));
  EXPECT_EQ(layer.conv.dilation, (Pair{2, 2}));
  EXPECT_EQ(layer.conv.groups, 2);
  EXPECT_THAT(layer.batches, ElementsAre(5));
  EXPECT_FALSE(layer.conv.bias);
  EXPECT_EQ(layer.granularity, Granularity::filter);
}

TEST_F(LayerFile, SparsityMayBeFractional) {
  EXPECT_THAT(layers_of(layer_with("\"sparsity\": 0.25"))[0].dictionaries,
              ElementsAre(Dictionary{"d4s0.25", 4, 0.25}));
  EXPECT_THAT(layers_of(layer_with("\"sparsity\": 0"))[0].dictionaries,
              ElementsAre(Dictionary{"d4s0", 4, 0}));
  EXPECT_THAT(layers_of(layer_with("\"sparsity\": 4"))[0].dictionaries,
              ElementsAre(Dictionary{"d4s4", 4, 4}));
}

TEST_F(LayerFile, AListAndAnObjectOfLayersAreTheSame) {
  const std::string first = layer_with("\"name\": \"a\""), second = layer_with("\"name\": \"b\"");
  const std::string list = first.substr(0, first.size() - 1) + "," + second.substr(1);
  for (const std::string& text : {list, "{\"layers\": " + list + "}"}) {
    const std::vector<Layer> layers = layers_of(text);
    ASSERT_EQ(layers.size(), 2u);
    EXPECT_EQ(layers[0].name, "a");
    EXPECT_EQ(layers[1].name, "b");
  }
}

// A file, and what the one line that refuses it has to say beside the file's name.
struct BadFile {
  std::string text;
  std::vector<std::string> says;
};

TEST_F(LayerFile, BadFieldsAreRefusedByFileLayerAndField) {
  const BadFile files[] = {
      {layer_with("\"strides\": 2"), {"layer 0", "unknown field", "strides"}},
      {layer_with("\"line\\nbreak\": 2"), {"layer 0", "unknown field"}},
      {layer_with("\"in_channels\": \"eight\""), {"layer 0", "in_channels is \"eight\"", "whole number"}},
      {layer_with("\"out_channels\": 6.5"), {"layer 0", "out_channels is 6.5", "whole number"}},
      {layer_with("\"height\": null"), {"layer 0", "height is null", "whole number"}},
      {layer_with("\"kernel\": [3]"), {"layer 0", "kernel is [3]", "[height, width]"}},
      {layer_with("\"kernel\": [3, 3, 3]"), {"layer 0", "kernel is [3,3,3]", "[height, width]"}},
      {layer_with("\"stride\": {\"height\": 1}"), {"layer 0", "stride is {", "[height, width]"}},
      {layer_with("\"padding\": [1, true]"), {"layer 0", "padding is true", "whole number"}},
      {layer_with("\"bias\": 1"), {"layer 0", "bias is 1", "true or false"}},
      {layer_with("\"granularity\": \"row\""),
       {"layer 0", "granularity is \"row\"", "\"vector\" or \"filter\""}},
      {layer_with("\"sparsity\": [1]"), {"layer 0", "sparsity is [1]", "number"}},
      {layer_with("\"name\": 5"), {"layer 0", "name is 5", "text"}},
      {layer_with("\"name\": \"\""), {"layer 0", "name is \"\"", "text"}},
      {layer_with("\"name\": \"two\\nlines\""), {"layer 0", "name is \"two\\nlines\"", "one line"}},
      {"[7]", {"layer 0", "is 7", "object"}},
  };
  for (const BadFile& file : files) {
    const std::string message = refusal([&] { layers_of(file.text); });
    EXPECT_THAT(message, StartsWith(path() + ": ")) << file.text;
    for (const std::string& part : file.says) EXPECT_THAT(message, HasSubstr(part)) << file.text;
  }
}

TEST_F(LayerFile, MissingFieldsAreRefusedByName) {
  for (const char* field : {"in_channels", "out_channels", "kernel", "height", "width", "dictionary_size"}) {
    EXPECT_EQ(refusal([&] { layers_of(layer_without(field)); }),
              fmt::format("{}: layer 0 lacks {}", path(), field));
  }
}

TEST_F(LayerFile, LayersThatCannotBeComputedAreRefused) {
  const BadFile files[] = {
      {layer_with("\"kernel\": [8, 3]"), {"layer 0", "kernel height 8", "7"}},
      {layer_with("\"kernel\": 3, \"dilation\": [1, 5]"), {"layer 0", "kernel width 3", "dilation 5", "9"}},
      {layer_with("\"groups\": 3"), {"layer 0", "groups 3", "in_channels 8"}},
      {layer_with("\"groups\": 4"), {"layer 0", "groups 4", "out_channels 6"}},
      {layer_with("\"groups\": 2, \"dictionary_size\": 3"), {"layer 0", "groups 2", "dictionary_size 3"}},
      {layer_with("\"groups\": 0"), {"layer 0", "groups is 0", "at least 1"}},
      {layer_with("\"dictionary_size\": 0"), {"layer 0", "dictionary_size is 0", "at least 1"}},
      {layer_with("\"dictionary_size\": -4"), {"layer 0", "dictionary_size is -4", "at least 1"}},
      {layer_with("\"sparsity\": 4.5"), {"layer 0", "sparsity is 4.5", "dictionary_size / groups = 4"}},
      {layer_with("\"sparsity\": 3, \"groups\": 2"),
       {"layer 0", "sparsity is 3", "dictionary_size / groups = 2"}},
      {layer_with("\"sparsity\": -0.5"), {"layer 0", "sparsity is -0.5"}},
      {layer_with("\"stride\": 0"), {"layer 0", "stride height is 0", "at least 1"}},
      {layer_with("\"padding\": -1"), {"layer 0", "padding height is -1", "at least 0"}},
      {layer_with("\"batch\": 0"), {"layer 0", "batch is 0", "at least 1"}},
      {layer_with("\"in_channels\": 0"), {"layer 0", "in_channels is 0", "at least 1"}},
  };
  for (const BadFile& file : files) {
    const std::string message = refusal([&] { layers_of(file.text); });
    EXPECT_THAT(message, StartsWith(path() + ": ")) << file.text;
    for (const std::string& part : file.says) EXPECT_THAT(message, HasSubstr(part)) << file.text;
  }
}

TEST_F(LayerFile, NumbersThatNoLayerHasAreRefusedAsTheyWereWritten) {
  const BadFile files[] = {
      {layer_with("\"in_channels\": 2147483649"), {"layer 0", "in_channels is 2147483649", "2147483648"}},
      {layer_with("\"in_channels\": 18446744073709551615"),
       {"layer 0", "in_channels is 18446744073709551615"}},
      {layer_with("\"in_channels\": 18446744073709551617"), {"layer 0", "in_channels is 1.8446744073709"}},
      {layer_with("\"batch\": 1e30"), {"layer 0", "batch is 1e+30"}},
      {layer_with("\"batch\": -9223372036854775808"), {"layer 0", "batch is -9223372036854775808"}},
      {layer_with("\"sparsity\": 1e308"), {"layer 0", "sparsity is 1e+308"}},
      {layer_with("\"sparsity\": 1e400"), {"number is too large"}},
  };
  for (const BadFile& file : files) {
    const std::string message = refusal([&] { layers_of(file.text); });
    EXPECT_THAT(message, StartsWith(path() + ": ")) << file.text;
    for (const std::string& part : file.says) EXPECT_THAT(message, HasSubstr(part)) << file.text;
  }
}

TEST_F(LayerFile, TheSecondLayersFaultIsTheSecondLayers) {
  const std::string good = layer_with("\"name\": \"good\""), bad = layer_with("\"groups\": 3");
  EXPECT_THAT(refusal([&] { layers_of(good.substr(0, good.size() - 1) + "," + bad.substr(1)); }),
              AllOf(HasSubstr("layer 1 "), HasSubstr("groups 3")));
}

TEST_F(LayerFile, TwoLayersOfOneNameAreRefused) {
  const std::string layer = layer_with("\"name\": \"twin\"");
  EXPECT_THAT(refusal([&] { layers_of(layer.substr(0, layer.size() - 1) + "," + layer.substr(1)); }),
              AllOf(StartsWith(path() + ": "), HasSubstr("layers 0 and 1"), HasSubstr("'twin'")));
}

TEST_F(LayerFile, FilesThatAreNoListOfLayersAreRefused) {
  const std::string whole = layer_with("\"name\": \"cut\"");
  const BadFile files[] = {
      {whole.substr(0, whole.size() - 2), {"not JSON", fmt::format("byte {}", whole.size() - 1)}},
      {"", {"not JSON"}},
      {"in_channels: 8", {"not JSON", "byte 1"}},
      {"[]", {"non-empty list"}},
      {"{}", {"non-empty list"}},
      {"{\"layers\": []}", {"non-empty list"}},
      {"{\"layers\": 3}", {"non-empty list"}},
      {"null", {"non-empty list"}},
      {"{\"layers\": [], \"version\": 1}", {"unknown field", "version"}},
  };
  for (const BadFile& file : files) {
    const std::string message = refusal([&] { layers_of(file.text); });
    EXPECT_THAT(message, StartsWith(path() + ": ")) << file.text;
    for (const std::string& part : file.says) EXPECT_THAT(message, HasSubstr(part)) << file.text;
  }
}

TEST_F(LayerFile, AFileThatIsNotThereOrIsAFolderIsRefused) {
  EXPECT_EQ(refusal([&] { layers_from_file(path()); }), path() + ": cannot be read");
  const std::string folder = folder_ / "";
  EXPECT_EQ(refusal([&] { layers_from_file(folder); }), folder + ": cannot be read");
}

}  // namespace
}  // namespace lcnn::bench
