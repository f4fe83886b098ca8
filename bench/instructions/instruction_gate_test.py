"""The verdicts of the gate, without valgrind."""
import unittest

from instruction_gate import judge


class JudgeTest(unittest.TestCase):
    def test_one_percent_is_tolerated(self):
        self.assertEqual(judge({"a": 1000}, {"a": 1010}), ([], []))
        self.assertEqual(judge({"a": 1000}, {"a": 1011}), (["a: 1,000 to 1,011 instructions (+1.1%)"], []))

    def test_less_and_new_are_said_but_no_failure(self):
        worse, other = judge({"a": 1000}, {"a": 900, "b": 5})
        self.assertEqual(worse, [])
        self.assertEqual(other, ["a: 1,000 to 900 instructions (-10.0%): renew the counts", "b: 5 instructions, none committed"])

    def test_what_is_not_counted_any_more_fails(self):
        self.assertEqual(judge({"a": 1000}, {})[0], ["a: not counted any more"])


if __name__ == "__main__":
    unittest.main()
