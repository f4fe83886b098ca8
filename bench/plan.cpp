#include "bench/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "variants/variant_table.h"

namespace lcnn::bench {
namespace {

std::string_view kind_name(VariantKind kind) {
  switch (kind) {
    case VariantKind::lookup: return "Lookup";
    case VariantKind::conv2d: return "Conv2d";
    case VariantKind::peer: return "Peer";
  }
  return "?";
}

std::string row_name(const Group& group, const Variant& variant, Layout layout, const Dictionary& dictionary) {
  const std::string of_dictionary = variant.kind == VariantKind::conv2d ? "" : dictionary.name + "/";
  return fmt::format("{}/{}/{}/{}n{}/{}{}", kind_name(variant.kind), variant.name, group.layer.path(), of_dictionary,
                     group.layer.conv.batch, to_string(group.precision), layout == Layout::nhwc ? "/nhwc" : "");
}

void add_rows(Group& group, const PlanOptions& options, bool baselines) {
  for (std::size_t d = 0; d < (baselines ? 1 : group.layer.dictionaries.size()); ++d) {
    for (const Variant* variant : variant_table()) {
      if (variant->device != options.device || (variant->kind == VariantKind::conv2d) != baselines) continue;
      for (const Layout layout : options.layouts) {
        RowPlan row{row_name(group, *variant, layout, group.layer.dictionaries[d]), variant, layout, d};
        if (std::ranges::find(group.rows, row.name, &RowPlan::name) == group.rows.end()) group.rows.push_back(std::move(row));
      }
    }
  }
}

// Whether another workload, or an option that repeats a value, asked for the same group. Throws where two different
// layers would give rows of the same name.
bool is_planned(const std::vector<Group>& groups, const Group& group) {
  const auto earlier = std::ranges::find(groups, group.title(), &Group::title);
  if (earlier == groups.end()) return false;
  const Layer& layer = earlier->layer;
  if (layer.conv != group.layer.conv || layer.granularity != group.layer.granularity ||
      layer.dictionaries != group.layer.dictionaries) {
    throw std::invalid_argument(fmt::format("layer {}: two different layers have this name", layer.path()));
  }
  return true;
}

}  // namespace

std::string Group::title() const {
  return fmt::format("{} n{} {}", layer.path(), layer.conv.batch, to_string(precision));
}

std::vector<Group> make_plan(const PlanOptions& options) {
  std::vector<Group> groups;
  for (const Layer& layer : options.layers) {
    for (const std::int64_t batch : layer.batches) {
      for (const Precision precision : options.precisions) {
        Group group{.layer = layer, .precision = precision};
        group.layer.conv.batch = batch;
        for (const Dictionary& dictionary : layer.dictionaries) {
          try {
            validate(LookupProblem{group.layer.conv, dictionary.size, layer.granularity});
          } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(fmt::format("layer {}: {}", layer.path(), error.what()));
          }
          const double most = static_cast<double>(dictionary.size) / static_cast<double>(layer.conv.groups);
          if (!(dictionary.sparsity >= 0 && dictionary.sparsity <= most)) {
            throw std::invalid_argument(fmt::format("layer {}: sparsity is {}: 0 to dictionary_size / groups = {} is accepted",
                                                    layer.path(), dictionary.sparsity, most));
          }
        }
        add_rows(group, options, /*baselines=*/true);
        add_rows(group, options, /*baselines=*/false);
        if (!is_planned(groups, group)) groups.push_back(std::move(group));
      }
    }
  }
  return groups;
}

}  // namespace lcnn::bench
