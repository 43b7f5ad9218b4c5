from base64 import b64decode

from nasrec_automl import load_architecture
from nasrec_automl.report.wiring import wiring_svg
from nasrec_automl.report.wiring_figure import wiring_figure


def test_it_holds_the_very_picture():
    architecture = load_architecture("criteo-small")
    [image] = wiring_figure(architecture).layout.images
    head, _, picture = image.source.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert b64decode(picture).decode() == wiring_svg(architecture)
