"""Whole networks as sums of their layers' times, for reports that have all of their convolutions."""

# How often each layer of a workload is in its network (bench/workload.cpp): AlexNet's last, linear layer is no convolution.
LAYERS = {
    "alexnet": dict.fromkeys(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"), 1),
    "resnet18": {"conv1": 1, "64@56": 4, "64-128@56": 1, "shortcut64-128@56": 1, "128@28": 3, "128-256@28": 1, "shortcut128-256@28": 1,
                 "256@14": 3, "256-512@14": 1, "shortcut256-512@14": 1, "512@7": 3},
}


def sums(records, fastest):
    """For each network, batch, precision and dictionary of which every layer was measured: (network, batch, precision, dictionary,
    Conv2d's us, LookupConv2d's us), each layer by what `fastest(its records, kind)` gives. Nothing else is in them: no bias, ReLU,
    pooling or normalization, no way from one layer's layout to the next one's."""
    groups = {}
    for record in records:
        if record["set"] in LAYERS:
            of_kind = record["dictionary"] if record["kind"] == "lookup" else None
            key = (record["set"], record["batch"], record["precision"])
            groups.setdefault(key, {}).setdefault((record["layer"], of_kind), []).append(record)
    found = []
    for (network, batch, precision), layers in groups.items():
        for dictionary in dict.fromkeys(of for _, of in layers if of is not None):
            total = {"conv2d": 0.0, "lookup": 0.0}
            for layer, times in LAYERS[network].items():
                for kind, of in (("conv2d", None), ("lookup", dictionary)):
                    best = fastest(layers.get((layer, of), []), kind)
                    total[kind] = None if best is None or total[kind] is None else total[kind] + times * best["median_us"]
            if None not in total.values():
                found.append((network, batch, precision, dictionary, total["conv2d"], total["lookup"]))
    return found
