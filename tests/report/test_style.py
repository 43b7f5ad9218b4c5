import plotly.graph_objects as go

from nasrec_automl.report.style import note, plain, titled, upper_limit


def test_far_outliers_get_no_room():
    values = [0.50, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.57, 3.0]
    assert upper_limit(values) == 0.57
    assert upper_limit(values[:-1]) == 0.57


def test_few_values_have_no_outliers():
    assert upper_limit([0.5, 3.0]) == 3.0


def test_equal_values_are_their_own_limit():
    assert upper_limit([0.5] * 10) == 0.5


def test_a_note_shows_its_text_literally():
    figure = note("nothing <b>")
    assert not figure.data
    assert figure.layout.annotations[0].text == plain("nothing <b>") == "nothing &lt;b&gt;"


def test_a_titled_figure_fits_into_the_dashboard():
    figure = titled(go.Figure(), "a <b>")
    assert figure.layout.title.text == "a &lt;b&gt;"
    assert figure.layout.height <= 450
    assert figure.layout.margin.t >= 40
    assert figure.layout.legend.yref == "container"
