"""convert_checkpoint_test.py LCNN_TRAIN LCNN_INFER: checkpoints of LCNN-pytorch to lcnn_train's and back. Skipped, with exit code
77 and the reason, where Python has no torch, no safetensors or no NumPy."""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SKIPPED = 77
try:
    import numpy as _  # which safetensors.torch needs when it writes
    import safetensors.torch
    import torch
except (ImportError, OSError) as error:
    print(f"skipped: {error}")
    sys.exit(SKIPPED)
from torch.nn import functional

CONVERTER = pathlib.Path(__file__).resolve().with_name("convert_checkpoint.py")
LCNN_TRAIN, LCNN_INFER = sys.argv.pop(1), sys.argv.pop(1)
EXTENT, ATTRIBUTES, ENTRIES, LOOKUPS = 12, 40, 10, 3


class FilterDictionary(torch.nn.Module):
    """A filter is the sum of its lookups' entries, each times its coefficient."""

    def __init__(self):
        super().__init__()
        self.dictionary = torch.nn.Parameter(torch.randn(ENTRIES, 3, 3, 3))
        indices = torch.randint(0, ENTRIES, (64, LOOKUPS))
        indices[0] = torch.tensor([7, 2, 7])  # an entry may be looked up twice
        self.register_buffer("lookup_indices", indices)
        self.lookup_coefficients = torch.nn.Parameter(torch.randn(64, LOOKUPS))

    def forward(self, x):
        filters = (self.dictionary[self.lookup_indices] * self.lookup_coefficients[:, :, None, None, None]).sum(1)
        return functional.conv2d(x, filters, padding=1)


class DenseP(torch.nn.Module):
    """The convolution by P of the convolution by D."""

    def __init__(self):
        super().__init__()
        self.D = torch.nn.Parameter(torch.randn(ENTRIES, 3, 1, 1))
        self.P = torch.nn.Parameter(torch.randn(64, ENTRIES, 3, 3) * (torch.rand(64, ENTRIES, 3, 3) < 0.2))

    def forward(self, x):
        return functional.conv2d(functional.conv2d(x, self.D), self.P, padding=1)


class Network(torch.nn.Module):
    def __init__(self, convolution):
        super().__init__()
        self.conv1 = convolution
        self.fc = torch.nn.Linear(64 * (EXTENT // 2) ** 2, ATTRIBUTES)

    def forward(self, x):
        return self.fc(functional.max_pool2d(self.conv1(x).relu(), 2).flatten(1))


def png(pixels):
    """The bytes of an RGB image, uint8 [3, height, width]."""
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in pixels.permute(1, 2, 0))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", pixels.shape[2], pixels.shape[1], 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class ConvertCheckpointTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        torch.manual_seed(1)

    def saved(self, convolution, **changes):
        """The network of a checkpoint as LCNN-pytorch writes it after a step of Adam, and that checkpoint's file."""
        network = Network(convolution)
        optimizer = torch.optim.Adam(network.parameters())
        network(torch.randn(2, 3, EXTENT, EXTENT)).square().mean().backward()
        optimizer.step()
        file = self.folder / "best_model.pth"
        torch.save({"epoch": 3, "model_state_dict": network.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
                    "loss": 0.12345678901234567} | changes, file)
        return network, file

    def run_converter(self, *arguments):
        return subprocess.run([sys.executable, CONVERTER, *arguments], capture_output=True, text=True, check=False)

    def converted(self, source, name):
        outcome = self.run_converter(source, self.folder / name)
        self.assertEqual((outcome.returncode, outcome.stdout, outcome.stderr), (0, "", ""))
        return self.folder / name

    def assert_same(self, one, other):
        self.assertEqual(type(one), type(other))
        if isinstance(one, dict):
            self.assertEqual(list(one), list(other))
            for key, value in one.items():
                self.assert_same(value, other[key])
        elif isinstance(one, torch.Tensor):
            self.assertEqual((one.dtype, one.shape), (other.dtype, other.shape))
            self.assertTrue(torch.equal(one, other))
        elif isinstance(one, (list, tuple)):
            self.assertEqual(len(one), len(other))
            for value, equal in zip(one, other):
                self.assert_same(value, equal)
        else:
            self.assertEqual(one, other)

    def loaded(self, file):
        checkpoint = torch.load(file, weights_only=True)
        return checkpoint | {"model_state_dict": dict(checkpoint["model_state_dict"])}

    def test_a_round_trip_loses_nothing(self):
        for convolution in (FilterDictionary(), DenseP()):
            with self.subTest(type(convolution).__name__):
                _, file = self.saved(convolution)
                back = self.converted(self.converted(file, "lcnn.safetensors"), "back.pth")
                self.assert_same(self.loaded(file), self.loaded(back))

    def probabilities(self, checkpoint, files, variant):
        outcome = subprocess.run([LCNN_INFER, checkpoint, *files, "--json", f"--variant={variant}", "--threads=1"], capture_output=True,
                                 text=True, check=True)
        return torch.tensor([[attribute["probability"] for attribute in image["attributes"]] for image in json.loads(outcome.stdout)["images"]])

    def images(self):
        pixels = torch.randint(0, 256, (3, 3, EXTENT, EXTENT), dtype=torch.uint8)
        files = [self.folder / f"{i}.png" for i in range(len(pixels))]
        for file, image in zip(files, pixels):
            file.write_bytes(png(image))
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return files, (pixels / 255 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)

    def test_lcnn_infer_predicts_what_the_network_did(self):
        files, inputs = self.images()
        for convolution in (FilterDictionary(), DenseP()):
            network, file = self.saved(convolution)
            checkpoint = self.converted(file, "lcnn.safetensors")
            with torch.no_grad():
                expected = network(inputs).sigmoid()
            self.assertGreater(float(expected.std()), 0.1)
            for variant in ("auto", "naive_sparse"):
                with self.subTest(type(convolution).__name__, variant=variant):
                    torch.testing.assert_close(self.probabilities(checkpoint, files, variant), expected, atol=2e-5, rtol=0)

    def test_lcnn_infer_prints_what_lcnn_pytorch_does(self):
        files, inputs = self.images()
        network, file = self.saved(FilterDictionary())
        outcome = subprocess.run([LCNN_INFER, self.converted(file, "lcnn.safetensors"), files[0], "--threads=1"], capture_output=True, text=True,
                                 check=True)
        lines = outcome.stdout.splitlines()
        self.assertEqual(lines[0], "Loaded best model from epoch 4 with validation loss: 0.1235")
        self.assertEqual(lines[2].split(":")[0], "5_o_Clock_Shadow")
        with torch.no_grad():
            said = [str(bool(value > 0)) for value in network(inputs[:1])[0]]
        self.assertEqual([line.split(": ")[1] for line in lines[2:2 + ATTRIBUTES]], said)

    def train(self, out, *options):
        """On four images in CelebA's layout."""
        images = self.folder / "img_align_celeba"
        images.mkdir(exist_ok=True)
        names = [f"00000{i}.jpg" for i in range(1, 5)]
        for name in names:
            (images / name).write_bytes(png(torch.randint(0, 256, (3, EXTENT, EXTENT), dtype=torch.uint8)))
        rows = "".join(f"{name}{' 1 -1' * (ATTRIBUTES // 2)}\n" for name in names)
        (self.folder / "list_attr_celeba.txt").write_text(f"4\n{' '.join(f'a{i}' for i in range(ATTRIBUTES))}\n{rows}")
        (self.folder / "list_eval_partition.txt").write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(names)))
        subprocess.run([LCNN_TRAIN, "--dataset=celeba", f"--data={self.folder}", f"--image-size={EXTENT}", f"--out={self.folder / out}", "--threads=1",
                        "--epochs=1", "--schedule=constant", *options], capture_output=True, check=True)
        return self.folder / out / "last.safetensors"

    def test_what_lcnn_train_made_of_it_comes_back(self):
        for convolution in (FilterDictionary(), DenseP()):
            with self.subTest(type(convolution).__name__):
                network, file = self.saved(convolution)
                trained = self.train(type(convolution).__name__, f"--from={self.converted(file, 'lcnn.safetensors')}")
                back = self.loaded(self.converted(trained, "back.pth"))
                self.assertEqual(set(back["model_state_dict"]), set(network.state_dict()))
                self.assertFalse(torch.equal(back["model_state_dict"]["fc.weight"], network.state_dict()["fc.weight"]), "it was trained")
                network.load_state_dict(back["model_state_dict"])
                files, inputs = self.images()
                with safetensors.safe_open(trained, "pt") as content:
                    normalization = json.loads(content.metadata()["normalization"])
                self.assertEqual(normalization["mean"], [0.485, 0.456, 0.406])
                with torch.no_grad():
                    torch.testing.assert_close(self.probabilities(trained, files, "auto"), network(inputs).sigmoid(), atol=2e-5, rtol=0)

    def refusal(self, source):
        output = self.folder / "output"
        output.write_text("what was there")
        outcome = self.run_converter(source, output)
        self.assertEqual((outcome.returncode, outcome.stdout, outcome.stderr.count("\n")), (2, "", 1), outcome.stderr)
        self.assertEqual(output.read_text(), "what was there")
        self.assertFalse((self.folder / "output.new").exists())
        return outcome.stderr.removeprefix("convert_checkpoint: ").replace(f"{source}: ", "").strip()

    def changed(self, change, convolution=FilterDictionary):
        network, _ = self.saved(convolution())
        state = network.state_dict()
        change(state)
        return self.refusal(self.saved(convolution(), model_state_dict=state)[1])

    def test_what_cannot_be_used_is_refused_in_one_line(self):
        self.assertEqual(self.refusal(self.folder / "missing.pth"), "it cannot be read: No such file or directory")
        (self.folder / "text").write_text("no checkpoint")
        self.assertIn("it is neither a checkpoint of LCNN-pytorch nor a whole safetensors file", self.refusal(self.folder / "text"))
        _, file = self.saved(FilterDictionary())
        nowhere = self.folder / "nowhere" / "output"
        self.assertEqual(self.run_converter(file, nowhere).stderr, f"convert_checkpoint: {nowhere}: it cannot be written: No such file or directory\n")
        whole = file.read_bytes()
        file.write_bytes(whole[:len(whole) // 2])
        self.refusal(file)
        self.assertIn("it is no checkpoint of LCNN-pytorch", self.refusal(self.saved(FilterDictionary(), other=1)[1]))
        self.assertEqual(self.changed(lambda state: state.pop("conv1.lookup_indices")),
                         "its model_state_dict has conv1.dictionary, but no conv1.lookup_indices")
        self.assertIn("neither a dictionary", self.changed(lambda state: state.pop("conv1.dictionary")))
        self.assertIn("has not just conv1.D, conv1.P, fc.bias, fc.weight: conv1.bias",
                      self.changed(lambda state: state.update({"conv1.bias": torch.zeros(64)}), DenseP))
        self.assertEqual(self.changed(lambda state: state.update({"conv1.lookup_indices": torch.full((64, LOOKUPS), ENTRIES)})),
                         f"conv1.lookup_indices are not all from 0 to {ENTRIES - 1}")
        self.assertEqual(self.changed(lambda state: state.update({"conv1.lookup_coefficients": torch.zeros(64, 2)})),
                         f"conv1.lookup_coefficients is 64x2: 64x{LOOKUPS} is expected")
        self.assertIn("64 times a square", self.changed(lambda state: state.update({"fc.weight": torch.zeros(ATTRIBUTES, 100)})))
        other = self.train("other", "--model=lenet")
        self.assertIn("its network is lenet with conv2d convolutions", self.refusal(other))


if __name__ == "__main__":
    unittest.main()
