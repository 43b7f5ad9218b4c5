from nasrec_automl.nni_plugin.enas import TaggedBatches


def test_every_batch_says_which_loader_it_is_of_training_first() -> None:
    batches = TaggedBatches([("a",), ("b",)], [("c",)])
    assert len(batches) == 3
    assert list(batches) == [(("a",), "train"), (("b",), "train"), (("c",), "val")]
    assert list(batches) == list(batches), "an epoch after another"
