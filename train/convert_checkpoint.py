#!/usr/bin/env python3
"""scripts/convert_checkpoint INPUT OUTPUT

Converts a checkpoint of LCNN-pytorch (best_model.pth) to one of lcnn_train (.safetensors), or back: what INPUT is, is seen from
its content. Of LCNN-pytorch's network (take2: one LookupConv2d of 64 filters of 3x3, 2x2 maximum pooling, a linear layer) these
keys are read, whatever stands for conv1 and fc:
  conv1.dictionary [k, C, 3, 3], conv1.lookup_indices [64, s], conv1.lookup_coefficients [64, s]     a dictionary of filters
  conv1.D [k, C, 1, 1], conv1.P [64, k, 3, 3]                                                        a dense P
  fc.weight, fc.bias
Lookups become CSR: an entry that a filter looks up twice becomes one lookup with the sum of both coefficients. LCNN-pytorch
counts epochs from 0, lcnn_train from 1. What a conversion back would lose, as the optimizer's state, is kept in OUTPUT beside the
network, so that a checkpoint comes back as it was."""
import argparse
import json
import math
import os
import pickle
import sys
import zipfile

import safetensors
import torch
from safetensors.torch import load_file, save_file

UNUSABLE = 2
# What torch.load, JSON and content that is not as it should be throw.
DAMAGED = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, pickle.UnpicklingError)
CHANNELS, KERNEL = 64, (3, 3)  # of train/one_layer.cpp's network for LCNN-pytorch
CONVOLUTION, LINEAR = "conv", "linear"  # their names there
LOOKUPS = tuple(f"{CONVOLUTION}.lookup_{part}" for part in ("offsets", "indices", "coefficients"))
KEPT = "lcnn_pytorch"  # what begins the names of tensors, and of the entry of the metadata, that only a conversion back reads
FORMS = {"lookups": ("dictionary", "lookup_indices", "lookup_coefficients"), "dense": ("D", "P")}
# ImageNet's, by which LCNN-pytorch normalizes CelebA.
NORMALIZATION = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
CELEBA = """5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair Blurry
Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache
Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair
Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace Wearing_Necktie Young""".split()


class UnusableInput(Exception):
    """One line that says what was wrong."""


class UnusableOutput(Exception):
    """One line that says why it cannot be written."""


def refuse_unless(condition, message):
    if not condition:
        raise UnusableInput(message)


def shape_text(tensor):
    return "x".join(map(str, tensor.shape))


def csr_of(indices, coefficients):
    """Lookups [filters, s] as CSR: indices ascend in a row, coefficients of the same entry are added."""
    offsets, entries, values = [0], [], []
    for row, weights in zip(indices.tolist(), coefficients):
        sums = {}
        for entry, weight in zip(row, weights):
            sums[entry] = sums[entry] + weight if entry in sums else weight
        entries += sorted(sums)
        values += [sums[entry] for entry in sorted(sums)]
        offsets.append(len(entries))
    stacked = torch.stack(values) if values else torch.empty(0)
    return dict(zip(LOOKUPS, (torch.tensor(offsets, dtype=torch.int32), torch.tensor(entries, dtype=torch.int32), stacked)))


def lookups_of(offsets, indices, coefficients):
    """The inverse; where filters have fewer lookups than others, the rest are of entry 0 by 0."""
    counts = offsets.diff().tolist()
    width = max([1, *counts])
    dense_indices, dense_coefficients = torch.zeros(len(counts), width, dtype=torch.int64), torch.zeros(len(counts), width)
    for row, count in enumerate(counts):
        begin = int(offsets[row])
        dense_indices[row, :count] = indices[begin:begin + count]
        dense_coefficients[row, :count] = coefficients[begin:begin + count]
    return dense_indices, dense_coefficients


def layers_of(state):
    """The convolution's name and form, the linear layer's name."""
    for form, parts in FORMS.items():
        for key in state:
            name, _, part = key.rpartition(".")
            if part != parts[0]:
                continue
            missing = [f"{name}.{other}" for other in parts if f"{name}.{other}" not in state]
            refuse_unless(not missing, f"its model_state_dict has {key}, but no {' nor '.join(missing)}")
            linear = [other[:-len(".weight")] for other in state if other.endswith(".weight")]
            refuse_unless(len(linear) == 1, f"its model_state_dict has {len(linear)} layers with a weight: one, the linear layer, is expected")
            expected = {f"{name}.{other}" for other in parts} | {f"{linear[0]}.weight", f"{linear[0]}.bias"}
            unknown = sorted(set(state) ^ expected)
            refuse_unless(not unknown, f"its model_state_dict has not just {', '.join(sorted(expected))}: {', '.join(unknown)}")
            return name, form, linear[0]
    raise UnusableInput("its model_state_dict has neither a dictionary with lookup_indices and lookup_coefficients nor D with P")


def expect_shape(key, tensor, *extents):
    """Extents of None may be anything."""
    fits = tensor.dim() == len(extents) and all(extent in (None, size) for extent, size in zip(extents, tensor.shape))
    wanted = "x".join("?" if extent is None else str(extent) for extent in extents)
    refuse_unless(fits, f"{key} is {shape_text(tensor)}: {wanted} is expected")
    if tensor.is_floating_point():
        refuse_unless(tensor.dtype == torch.float32, f"{key} is of type {tensor.dtype}: torch.float32 is expected")
        refuse_unless(bool(tensor.isfinite().all()), f"{key} is not finite")


def network_of(state):
    """The network's tensors under lcnn_train's names, and what its architecture says of them."""
    name, form, linear = layers_of(state)
    first, *rest = (state[f"{name}.{part}"] for part in FORMS[form])
    if form == "lookups":
        indices, coefficients = rest
        expect_shape(f"{name}.dictionary", first, None, None, *KERNEL)
        expect_shape(f"{name}.lookup_indices", indices, CHANNELS, None)
        expect_shape(f"{name}.lookup_coefficients", coefficients, *indices.shape)
        refuse_unless(not indices.is_floating_point() and 0 <= int(indices.min()) and int(indices.max()) < len(first),
                      f"{name}.lookup_indices are not all from 0 to {len(first) - 1}")
        tensors = csr_of(indices, coefficients)
        kind = {"convolution": "fixed", "granularity": "filter", "dictionary_sizes": [len(first)], "sparsity": indices.shape[1]}
    else:
        expect_shape(f"{name}.D", first, None, None, 1, 1)
        expect_shape(f"{name}.P", rest[0], CHANNELS, len(first), *KERNEL)
        tensors = {f"{CONVOLUTION}.lookup_weight": rest[0]}
        kind = {"convolution": "pooled", "granularity": "vector", "dictionary_sizes": [len(first)], "initial_sparsity": 0}
    tensors[f"{CONVOLUTION}.dictionary"] = first
    weight = state[f"{linear}.weight"]
    expect_shape(f"{linear}.weight", weight, None, None)
    expect_shape(f"{linear}.bias", state[f"{linear}.bias"], len(weight))
    side = math.isqrt(weight.shape[1] // CHANNELS)
    refuse_unless(side > 0 and CHANNELS * side * side == weight.shape[1],
                  f"{linear}.weight has {weight.shape[1]} columns: {CHANNELS} times a square, what pooling leaves of an image, is expected")
    tensors |= {f"{LINEAR}.{part}": state[f"{linear}.{part}"] for part in ("weight", "bias")}
    return tensors, {"model": "lcnn_pytorch", "channels": first.shape[1], "height": 2 * side, "width": 2 * side, "classes": len(weight), **kind}


def options_of(architecture):
    """lcnn_train's options of that network, and of how it sees images."""
    return {"model": architecture["model"], "convolution": architecture["convolution"], "granularity": architecture["granularity"],
            "dictionary": ",".join(map(str, architecture["dictionary_sizes"])), "sparsity": str(architecture.get("sparsity", 1)),
            "initial-sparsity": str(architecture.get("initial_sparsity", 0)), "dataset": "celeba", "resize": "stretch", "crop": "0",
            "image-size": str(architecture["height"])}


def kept_optimizer(optimizer, tensors):
    """A state_dict of an optimizer as JSON; its tensors go to `tensors`."""
    state = {}
    for parameter, slots in optimizer["state"].items():
        for slot, value in slots.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{KEPT}.optimizer.{parameter}.{slot}"] = value
                value = None
            state.setdefault(str(parameter), {})[slot] = value
    return {"state": state, "param_groups": optimizer["param_groups"]}


def restored_optimizer(kept, tensors):
    state = {int(parameter): {slot: tensors.get(f"{KEPT}.optimizer.{parameter}.{slot}", value) for slot, value in slots.items()}
             for parameter, slots in kept["state"].items()}
    groups = [{key: tuple(value) if key == "betas" else value for key, value in group.items()} for group in kept["param_groups"]]
    return {"state": state, "param_groups": groups}


def to_lcnn(checkpoint):
    """Tensors and metadata of lcnn_train's checkpoint (train/checkpoint.h)."""
    required, optional = {"epoch", "loss", "model_state_dict"}, {"optimizer_state_dict"}
    refuse_unless(isinstance(checkpoint, dict) and required <= set(checkpoint) <= required | optional,
                  f"it is no checkpoint of LCNN-pytorch: {', '.join(sorted(required | optional))} are expected")
    state, loss, epochs = dict(checkpoint["model_state_dict"]), float(checkpoint["loss"]), int(checkpoint["epoch"]) + 1
    refuse_unless(math.isfinite(loss) and epochs > 0, "its epoch or its loss cannot be")
    tensors, architecture = network_of(state)
    refuse_unless(architecture["channels"] == len(NORMALIZATION["mean"]), f"it takes images of {architecture['channels']} channels: 3 are expected")
    kept = {"keys": list(state)}
    name, form, _ = layers_of(state)
    if form == "lookups":
        tensors |= {f"{KEPT}.{part}": state[f"{name}.{part}"] for part in FORMS[form][1:]}
    if "optimizer_state_dict" in checkpoint:
        kept["optimizer"] = kept_optimizer(checkpoint["optimizer_state_dict"], tensors)
    names = CELEBA if architecture["classes"] == len(CELEBA) else [str(i) for i in range(architecture["classes"])]
    progress = {"epochs": epochs, "batches": 0, "loss_sum": 0.0, "loss": loss, "best_loss": loss, "best_epoch": epochs}
    parts = {"architecture": architecture, "options": options_of(architecture), "normalization": NORMALIZATION, "progress": progress,
             "labels": {"names": names, "attributes": True}, "loss": loss, "epoch": epochs, KEPT: kept}
    return tensors, {"format": "lcnn checkpoint 1"} | {key: json.dumps(value) for key, value in parts.items()}


def unchanged_lookups(tensors):
    """LCNN-pytorch's own tensors where the network's lookups still are what they were converted to, else None."""
    kept = [tensors.get(f"{KEPT}.{part}") for part in FORMS["lookups"][1:]]
    if any(tensor is None for tensor in kept) or any(not torch.equal(tensor, tensors[key]) for key, tensor in csr_of(*kept).items()):
        return None
    return kept


def to_lcnn_pytorch(tensors, metadata):
    refuse_unless(metadata.get("format") == "lcnn checkpoint 1", "it is no checkpoint of lcnn_train")
    architecture, progress, kept = (json.loads(metadata.get(key, "{}")) for key in ("architecture", "progress", KEPT))
    form = {("fixed", "filter"): "lookups", ("pooled", "vector"): "dense"}.get((architecture["convolution"], architecture.get("granularity")))
    refuse_unless(architecture["model"] == "lcnn_pytorch" and form,
                  f"its network is {architecture['model']} with {architecture['convolution']} convolutions: lcnn_pytorch with --convolution=fixed "
                  "--granularity=filter, or pooled and vector, is expected")
    refuse_unless(progress["epochs"] > 0 and progress["batches"] == 0, "it is from the middle of an epoch: one from an epoch's end is expected")
    if form == "lookups":
        parts = [tensors[f"{CONVOLUTION}.dictionary"], *(unchanged_lookups(tensors) or lookups_of(*(tensors[key] for key in LOOKUPS)))]
    else:
        threshold = architecture["initial_sparsity"] / math.sqrt(math.prod(KERNEL) * architecture["dictionary_sizes"][0])
        dense = tensors[f"{CONVOLUTION}.lookup_weight"]
        # What lcnn_train counts as zero is zero there.
        parts = [tensors[f"{CONVOLUTION}.dictionary"], torch.where(dense.abs() > threshold, dense, 0) if threshold > 0 else dense]
    name, _, linear = layers_of(dict.fromkeys(kept["keys"])) if "keys" in kept else ("conv1", form, "fc")
    state = {f"{name}.{part}": tensor for part, tensor in zip(FORMS[form], parts)}
    state |= {f"{linear}.{part}": tensors[f"{LINEAR}.{part}"] for part in ("weight", "bias")}
    state = {key: state[key] for key in kept.get("keys", state)}
    checkpoint = {"epoch": progress["epochs"] - 1, "model_state_dict": state}
    if "optimizer" in kept:
        checkpoint["optimizer_state_dict"] = restored_optimizer(kept["optimizer"], tensors)
    return checkpoint | {"loss": progress["loss"]}


def replace_file(target, write):
    """Has a file beside `target` written, and renames it."""
    aside = f"{target}.new"
    try:
        open(aside, "wb").close()
        write(aside)
        os.replace(aside, target)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise UnusableOutput(getattr(error, "strerror", None) or str(error).splitlines()[0]) from None
    finally:
        if os.path.exists(aside):
            os.unlink(aside)


def convert(source, target):
    if zipfile.is_zipfile(source):
        tensors, metadata = to_lcnn(torch.load(source, map_location="cpu", weights_only=True))
        tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        replace_file(target, lambda aside: save_file(tensors, aside, metadata))
    else:
        with safetensors.safe_open(source, "pt") as file:
            metadata = file.metadata() or {}
        checkpoint = to_lcnn_pytorch(load_file(source), metadata)
        replace_file(target, lambda aside: torch.save(checkpoint, aside))


def main():
    parser = argparse.ArgumentParser(prog="convert_checkpoint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="INPUT")
    parser.add_argument("output", metavar="OUTPUT")
    options = parser.parse_args()
    try:
        open(options.input, "rb").close()
        convert(options.input, options.output)
    except UnusableInput as error:
        print(f"convert_checkpoint: {options.input}: {error}", file=sys.stderr)
    except UnusableOutput as error:
        print(f"convert_checkpoint: {options.output}: it cannot be written: {error}", file=sys.stderr)
    except OSError as error:
        print(f"convert_checkpoint: {options.input}: it cannot be read: {error.strerror or error}", file=sys.stderr)
    except safetensors.SafetensorError as error:
        print(f"convert_checkpoint: {options.input}: it is neither a checkpoint of LCNN-pytorch nor a whole safetensors file: {error}", file=sys.stderr)
    except DAMAGED as error:
        print(f"convert_checkpoint: {options.input}: it is damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}", file=sys.stderr)
    else:
        return 0
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
