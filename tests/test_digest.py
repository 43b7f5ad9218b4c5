from nasrec_automl.digest import digest


def test_digests_stay_what_they_are_since_finished_work_is_found_by_them() -> None:
    assert digest('["a", {"b": 0.5}]') == "497cf461"
    assert digest("") == "e3b0c442"
    assert digest("ü", 16) == "607474ca475a9724"
