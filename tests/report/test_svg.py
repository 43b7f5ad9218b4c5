from xml.etree import ElementTree

from nasrec_automl.report.svg import Canvas


def test_texts_are_escaped_and_arrowheads_defined_once():
    canvas = Canvas()
    canvas.text(1, 2, "<b> & 'c'", color="#000000")
    canvas.line("M0 0V9", color="#112233", arrow=True, edge='a "<" b')
    canvas.line("M0 0V9", color="#112233", arrow=True)
    root = ElementTree.fromstring(canvas.render(10, 20, label="<label>"))
    svg = "{http://www.w3.org/2000/svg}"
    assert root.get("viewBox") == "0 0 10 20"
    assert root.get("aria-label") == "<label>"
    assert root.find(f"{svg}text").text == "<b> & 'c'"
    assert [path.get("data-edge") for path in root.findall(f"{svg}path") if path.get("data-edge")] == ['a "<" b']
    assert [marker.get("id") for marker in root.iter(f"{svg}marker")] == ["arrow-112233"]
