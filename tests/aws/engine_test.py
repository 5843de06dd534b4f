"""What of the engines is ours, held to what AWS documents; `tests/aws/rig.sh target/aws/venv/bin/python tests/aws/engine_test.py`.

The developer guide, "ItemBatcher": 1,130 items in batches of 100 are 12 batches, the last with 30; children get `{"BatchInput", "Items"}`, without
`BatchInput` where none is set; bytes hold before items; with neither bytes nor items full, 256 KiB.
"""

import unittest

import engine


def grouped(batcher, items, given=None):
    return engine.batches(batcher, items, given or {}, {"Execution": {"Name": "r"}})


class Batches(unittest.TestCase):
    def test_the_guides_own_numbers(self):
        made = grouped({"MaxItemsPerBatch": 100}, list(range(1130)))
        self.assertEqual([weight for _, weight in made], [100] * 11 + [30])
        self.assertEqual(made[0][0], {"Items": list(range(100))})
        self.assertEqual([item for given, _ in made for item in given["Items"]], list(range(1130)))

    def test_batch_input_is_worked_out_once_from_the_maps_input(self):
        batcher = {"MaxItemsPerBatch": 2, "BatchInput": {"a.$": "$.x", "run.$": "$$.Execution.Name", "deep": {"b.$": "$.x.y"}, "c": [1]}}
        made = grouped(batcher, [1, 2, 3], {"x": {"y": 7}})
        self.assertEqual(made[1][0], {"BatchInput": {"a": {"y": 7}, "run": "r", "deep": {"b": 7}, "c": [1]}, "Items": [3]})

    def test_limits_by_path(self):
        self.assertEqual(len(grouped({"MaxItemsPerBatchPath": "$.n"}, [1, 2, 3], {"n": 2})), 2)
        self.assertEqual(len(grouped({"MaxInputBytesPerBatchPath": "$.n"}, ["aaaa"] * 4, {"n": 30})), 2)

    def test_bytes_hold_before_items(self):
        items = ["x" * 100] * 50
        for limit in (150, 300, 1000, 5000):
            made = grouped({"MaxItemsPerBatch": 40, "MaxInputBytesPerBatch": limit, "BatchInput": {"a": "é"}}, items)
            self.assertEqual(sum(weight for _, weight in made), 50)
            for at, (given, weight) in enumerate(made):
                self.assertLessEqual(engine.size(given), limit)
                if at + 1 < len(made) and weight < 40:
                    self.assertGreater(engine.size(given) + 103, limit, "one more would have fitted")

    def test_an_item_larger_than_a_batch_fails(self):
        with self.assertRaises(engine.states._ExecutionError) as raised:
            grouped({"MaxInputBytesPerBatch": 100}, ["x" * 200])
        self.assertEqual(raised.exception.error, "States.DataLimitExceeded")

    def test_without_a_batcher_each_item_is_a_child(self):
        self.assertEqual(grouped(None, [1, {"a": 2}]), [(1, 1), ({"a": 2}, 1)])


if __name__ == "__main__":
    unittest.main()
