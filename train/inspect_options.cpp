#include "train/inspect_options.h"

#include "train/parse_arguments.h"

namespace lcnn::train {

InspectOptions parse_inspect_options(const std::vector<std::string>& arguments) {
  InspectOptions options;
  CLI::App app{"Shows what the convolutions of a trained network are made of, and what they cost.", "lcnn_inspect"};
  app.footer(
      "MEM counts parameters, COMP multiplications for one image, both as the paper does; ms is measured, for one image.\n"
      "--out: LAYER_dictionary.png has a row for each entry, LAYER_filters.png one for each filter with a tile for each input\n"
      "channel, LAYER_lookups.png one for each filter with a tile for each entry; LAYER.json has the numbers.\n"
      "Exit codes: 0 inspected, 2 the input cannot be used.");
  const auto add = [&](const char* option, auto& value, const char* help) { return app.add_option(option, value, help)->type_name(""); };
  const auto range = [](std::int64_t least) { return CLI::Range(least, std::int64_t{1'000'000}); };
  add("checkpoint", options.checkpoint, "a checkpoint of lcnn_train: best.safetensors, last.safetensors")->required();
  add("--out", options.out, "a folder for pictures (PNG) and weights (JSON) of each layer");
  add("--filters", options.filters, "rows and columns of a picture, and filters in a layer's JSON; 0: all")->default_val(64)->check(range(0));
  add("--variant", options.variant, "what computes LookupConv2d: auto, the default, or another variant of lcnn_bench by name, and auto where that does "
                                    "not support a layer");
  std::string device;
  add("--device", device, "cpu, cuda")->default_val("cpu")->check(CLI::IsMember({"cpu", "cuda"}));
  add("--batch", options.batch, "images in a batch that is timed")->default_val(1)->check(range(1));
  add("--runs", options.runs, "batches that are timed")->default_val(5)->check(range(1));
  add("--threads", options.threads, "threads on the CPU; 0: all cores")->default_val(0)->check(CLI::Range(0, 4096));
  app.add_flag("--json", options.json, "print the table as one JSON object");
  parse_arguments(app, arguments);
  options.device = device == "cuda" ? Device::cuda : Device::cpu;
  return options;
}

}  // namespace lcnn::train
